"""The floor of the Fréchet distance against the count, and what each sample metric costs.

    python -m benchmarks.sample_metrics [--images-from mnist]

Real test digits are compared with real training digits, 10,000 of them where there are as many.
The default, the bundled digits, has 1,000 and 4,000; "mnist" is read from VAE_COURSE_DATA. The
reference figures were measured in the 64 features of another small classifier. Features have no
natural unit, so the two columns may differ by a factor: the same one in every row.
"""

import argparse
import os
import time

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch

from vae_course import data, metrics

REFERENCE = {200: 14.0, 500: 5.5, 1000: 3.2, 2000: 1.8, 10_000: 1.0}


def floors(images: data.ImageData, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randperm(len(images.train_images), generator=generator)[:10_000]
    real = metrics.digit_features(images.train_images[drawn])
    held_out = metrics.digit_features(images.test_images)
    print(f"{len(held_out):,} test against {len(real):,} training digits of {images.name}, mean of")
    print(f"10 draws; total variance of the training digits' features {real.var(dim=0).sum():.0f}")
    print(f"{'count':>8}{'floor':>10}{'reference':>12}{'ratio':>8}")
    for count, reference in REFERENCE.items():
        if count <= len(held_out):
            floor = metrics.frechet_floor(real, count, held_out=held_out, repeats=10, seed=seed)
            print(f"{count:>8,}{floor:>10.2f}{reference:>12.1f}{floor / reference:>8.2f}")


def costs(images: data.ImageData, count: int) -> None:
    real, training = images.test_images[:2000], images.train_images
    some, shown = real[:count], training[:count]
    known, made = metrics.digit_features(training), metrics.digit_features(shown)
    held_out, small = metrics.digit_features(real), metrics.digit_features(some)
    neighbours = metrics.precision_recall_density_coverage
    jobs = {
        "digit_features of the samples": lambda: metrics.digit_features(shown),
        "frechet_distance, with floor": lambda: metrics.frechet_distance(
            known, made, held_out=held_out
        ),
        "precision … coverage": lambda: neighbours(small, made),
        "class_histogram": lambda: metrics.class_histogram(shown),
        "sharpness": lambda: metrics.sharpness(shown),
        "memorisation": lambda: metrics.memorisation(shown, real, training),
        "bootstrap_interval of a mean": lambda: metrics.bootstrap_interval(made[:, 0]),
        "sample_report, all of it": lambda: metrics.sample_report(shown, real, training),
    }
    print(f"\n{count:,} samples, {len(real):,} held-out, {len(training):,} training digits")
    for name, job in jobs.items():
        start, wall = time.process_time(), time.perf_counter()
        job()
        cpu, wall = time.process_time() - start, time.perf_counter() - wall
        print(f"{name:<32}{cpu:>8.2f} s of processor{wall:>8.2f} s on the clock")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images-from", choices=("mnist-5k", "mnist"), default="mnist-5k")
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    images = data.load_images(chosen.images_from)
    floors(images, chosen.seed)
    for count in (1000, 2000):
        if count <= len(images.test_images):
            costs(images, count)


if __name__ == "__main__":
    main()
