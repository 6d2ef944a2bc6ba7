r"""An epoch of the small VAE against the floor: batches of 32 to 4,096, one thread and two.

    python -m benchmarks.batch_size --figure docs/batch-size.png
    python -m benchmarks.batch_size --images 12000 --batch-sizes 128 1024 --threads 1

`fit` and `products` are those of `benchmarks.epoch`: one epoch of `training.fit`, and the matrix
products of the same epoch alone. Medians over repetitions, taken in turn. The test loss after
that one epoch, at the same learning rate, is printed beside them: fewer steps learn less.
No network, about ten minutes on two quiet cores.
"""

import argparse
import statistics
import time
from pathlib import Path

import torch
from torch import Tensor

from benchmarks.epoch import course_epoch, course_loss, matrix_products, new_model, repeated
from benchmarks.machine import NOT_QUIET, cores, cpu_seconds_of_others
from vae_course import data, training

BATCH_SIZES = (32, 64, 128, 256, 512, 1024, 2048, 4096)
LINES = ("fit", "products")


def measure(images: Tensor, test_images: Tensor, options) -> dict[tuple[int, int], dict]:
    r"""For each (threads, batch size): medians of seconds, and the test loss after the epoch."""
    points = [(threads, size) for threads in options.threads for size in options.batch_sizes]
    times = {point: {line: [] for line in LINES} for point in points}
    losses: dict[tuple[int, int], list[float]] = {point: [] for point in points}
    for seed in range(options.repetitions):
        for threads, size in points:
            torch.set_num_threads(threads)
            model = new_model("vae", seed)
            course_epoch(model, images[: 4 * size], batch_size=size, seed=seed)  # warm-up
            model = new_model("vae", seed)
            start = time.perf_counter()
            course_epoch(model, images, batch_size=size, seed=seed)
            middle = time.perf_counter()
            matrix_products(model, images=len(images), batch_size=size)
            end = time.perf_counter()
            times[threads, size]["fit"].append(middle - start)
            times[threads, size]["products"].append(end - middle)
            found = training.evaluate(model, course_loss, test_images)["loss"]
            losses[threads, size].append(found)
        print(f"repetition {seed + 1} of {options.repetitions} done", flush=True)
    return {
        point: {line: statistics.median(times[point][line]) for line in LINES}
        | {"test_loss": statistics.median(losses[point])}
        for point in points
    }


def table(results: dict[tuple[int, int], dict], threads: list[int]) -> str:
    r"""As markdown, a row a batch size."""
    heads = [f"{line}, {n} thread{'s' * (n > 1)}" for n in threads for line in (*LINES, "ratio")]
    rows = [["batch size", *heads, "test loss"], ["---"] * (len(heads) + 2)]
    for size in dict.fromkeys(size for _, size in results):
        row = [f"{size:,}"]
        for n in threads:
            fit, products = (results[n, size][line] for line in LINES)
            row += [f"{fit:.2f}", f"{products:.2f}", f"{fit / products:.2f}"]
        rows.append([*row, f"{results[threads[0], size]['test_loss']:.1f}"])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def draw(results: dict[tuple[int, int], dict], threads: list[int], path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    from matplotlib.ticker import NullFormatter

    from vae_course import plots

    plots.use_house_style()
    figure, axes = plt.subplots(figsize=(6, 3.6), layout="constrained")
    for n, marker in zip(threads, "osD^", strict=False):
        sizes = [size for number, size in results if number == n]
        for line, style in zip(LINES, ("-", ":"), strict=True):
            seconds = [results[n, size][line] for size in sizes]
            label = f"{line}, {n} thread{'s' * (n > 1)}"
            color = f"C{threads.index(n)}"
            axes.loglog(sizes, seconds, style, marker=marker, color=color, label=label)
    axes.set_xticks(sizes, [f"{size:,}" for size in sizes])
    axes.xaxis.set_minor_formatter(NullFormatter())
    ticks = [0.2, 0.5, 1, 2, 5, 10, 20]
    low, high = axes.get_ylim()
    axes.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.set_ylim(low, high)
    axes.set_xlabel("batch size")
    axes.set_ylabel("seconds an epoch")
    axes.legend()
    figure.savefig(path, dpi=110)


def parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="Seconds an epoch of the small VAE by batch size and threads, and the floor.",
        epilog="example: python -m benchmarks.batch_size --figure docs/batch-size.png",
    )
    parser.add_argument("--images", type=int, default=61_440, help="default: 15 × 4,096")
    parser.add_argument("--images-from", default="mnist-5k", choices=("mnist-5k", "mnist"))
    parser.add_argument("--batch-sizes", type=int, nargs="+", default=list(BATCH_SIZES))
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--figure", type=Path, help="where to store the picture")
    options = parser.parse_args(arguments)
    if min(*options.batch_sizes, *options.threads, options.repetitions) < 1:
        parser.error("--batch-sizes, --threads and --repetitions start at 1")
    if options.images < max(options.batch_sizes):
        parser.error("--images must be at least the largest batch size")
    return options


def main(arguments: list[str] | None = None) -> None:
    options = parse(arguments)
    source = data.load_images(options.images_from)
    images = repeated(source.train_images, options.images)
    print(f"{cores()}, torch {torch.__version__}; {len(images):,} images an epoch", flush=True)
    others, start = cpu_seconds_of_others(), time.perf_counter()
    results = measure(images, source.test_images, options)
    others = (cpu_seconds_of_others() - others) / (time.perf_counter() - start)
    print(f"\n{table(results, options.threads)}")
    if others > NOT_QUIET:
        print(f"\nNOT QUIET: others kept {others:.2f} processors busy; measure again.")
    if options.figure:
        draw(results, options.threads, options.figure)


if __name__ == "__main__":
    main()
