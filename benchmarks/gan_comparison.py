"""VAE, conditional VAE, GAN and stabilised GAN on equal terms: the table of notebook 06.

    python benchmarks/gan_comparison.py --budget minutes   # bundled digits, 120 s each, 3 seeds
    python benchmarks/gan_comparison.py --budget long      # 60,000 digits, 1,200 s each, 1 seed

Equal terms: the same decoder, the same digits, batches of 64, Adam, and the same number of CPU
seconds of one thread, whatever a step costs; the epochs that a model got through are in the table.

Every (model, seed) is trained once and kept in --out; the same command again goes on with what is
missing. Then all of them are measured, 1,000 samples each, and written to
data/runs/gan-comparison-BUDGET.csv. --models and --seeds choose a part.
"""

import argparse
import dataclasses
import os
import sys
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch

from vae_course import data, gan, losses, metrics, pretrained, training
from vae_course.models import VAE, ConditionalVAE

MODELS = ("vae", "conditional-vae", "gan", "stable-gan")
LATENT_DIM = 20
# The rates are the best of a few that were tried for ten seconds each; the higher one needs the
# penalty. average: of the generator's weights over about a thousand steps. At the width of the
# long runs the judge wins at 5e-3 (its loss was 0.2 after ten epochs), so they take 2e-3.
RECIPES = {
    "vae": {"learning_rate": 1e-3},
    "conditional-vae": {"learning_rate": 1e-3},
    "gan": {"learning_rate": 1e-3},
    "stable-gan": {"r1": 0.3, "average": 0.999},
}
SAMPLES = 1000  # drawn from each model: most numbers depend on the count


@dataclasses.dataclass(frozen=True)
class Budget:
    images: str  # data set
    seconds: int  # of CPU time for each model and seed
    channels: int  # of the decoder, the same for all
    seeds: int
    stable_rate: float = 5e-3  # learning rate of the stabilised GAN

    def recipe(self, name: str) -> dict[str, float]:
        changed = {"learning_rate": self.stable_rate} if name == "stable-gan" else {}
        return RECIPES[name] | changed


BUDGETS = {
    "seconds": Budget("mnist-5k", 12, 16, 2),  # to try the script
    "minutes": Budget("mnist-5k", 120, 16, 3),
    "long": Budget("mnist", 1200, 32, 1, stable_rate=2e-3),
}


class TimeIsUp(Exception):
    pass


def vae_loss(model, image):
    logits, mean, log_var = model(image)
    return losses.negative_elbo(logits, image, mean, log_var)


def conditional_loss(model, image, label):
    logits, mean, log_var = model(image, label)
    return losses.negative_elbo(logits, image, mean, log_var)


class Clock:
    """Stops a training by an exception after an epoch, and keeps its history up to there."""

    def __init__(self, name: str, seconds: float):
        self.name, self.seconds = name, seconds
        self.history, self.start = None, time.process_time()

    def __call__(self, epoch, model, history):
        self.history, self.spent = history, time.process_time() - self.start
        if epoch % 10 == 0 or self.spent >= self.seconds:
            last = ", ".join(f"{key} {value:.3g}" for key, value in history.last.items())
            print(f"{self.name}: {self.spent:.0f} of {self.seconds} s, {last}", flush=True)
        if self.spent >= self.seconds:
            raise TimeIsUp


def train(name: str, seed: int, budget: Budget, images: data.ImageData):
    """A trained model with `decode`, its history and the CPU seconds it took."""
    torch.manual_seed(seed)
    size = {"channels": budget.channels}
    common = {"epochs": 100_000, "batch_size": 64, "seed": seed, "progress": False}
    clock = Clock(f"{name}, seed {seed}", budget.seconds)
    common["after_epoch"] = clock
    try:
        if name == "vae":
            model = VAE.conv(LATENT_DIM, **size)
            training.fit(model, vae_loss, images.train_images, **budget.recipe(name), **common)
        elif name == "conditional-vae":
            model = ConditionalVAE.conv(LATENT_DIM, **size)
            labels = {"labels": images.train_labels}
            common |= budget.recipe(name) | labels
            training.fit(model, conditional_loss, images.train_images, **common)
        else:
            model = gan.Generator.conv(LATENT_DIM, **size)
            judge = gan.conv_discriminator(**size)
            gan.fit_gan(model, judge, images.train_images, **budget.recipe(name), **common)
    except TimeIsUp:
        pass
    return model.eval(), clock


def save(folder: Path, name: str, seed: int, chosen: str, model, clock) -> None:
    """Weights (float16), card and history; the card comes last: the run is complete."""
    budget, stem = BUDGETS[chosen], f"{name}-{seed}"
    clock.history.to_csv(folder / f"{stem}.csv")
    kinds = {"vae": "conv-vae", "conditional-vae": "conditional-vae"}
    size = {"kind": kinds[name], "width": budget.channels} if name in kinds else {
        "channels": budget.channels}  # fmt: skip
    pretrained.save(
        folder / f"{stem}.safetensors", model, dtype="float16",
        architecture={"latent_dim": LATENT_DIM, **size}, data={"name": budget.images},
        protocol={
            "seed": seed, "cpu_seconds": round(clock.spent, 1), "epochs": len(clock.history),
            "batch_size": 64, "optimizer": "Adam", **budget.recipe(name),
        },
        command=f"python benchmarks/gan_comparison.py --budget {chosen}",
        measured=f"1,000 samples: data/runs/gan-comparison-{chosen}.csv",
    )  # fmt: skip


def load(folder: Path, name: str, seed: int):
    """The model as stored, and its card."""
    read = pretrained.load_vae if name.endswith("vae") else pretrained.load_gan
    return read(folder / f"{name}-{seed}.safetensors")


@torch.no_grad()
def draw(model, count: int, seed: int) -> torch.Tensor:
    """Samples; a conditional model writes each digit equally often."""
    latent = torch.randn(count, LATENT_DIM, generator=torch.Generator().manual_seed(1000 + seed))
    labels = (torch.arange(count) % 10,) if isinstance(model, ConditionalVAE) else ()
    return model.decode(latent, *labels)


def row_of(folder: Path, name: str, seed: int, images: data.ImageData) -> dict[str, object]:
    """One line of the table: what was spent, then every number with its interval and the real's."""
    model, card = load(folder, name, seed)
    spent = {key: card["protocol"][key] for key in ("cpu_seconds", "epochs")}
    row = {"model": name, "seed": seed, "images": images.name, "samples": SAMPLES, **spent}
    report = metrics.sample_report(
        draw(model, SAMPLES, seed), images.test_images, images.train_images
    )
    for metric, estimate in report.items():
        for part, value in estimate._asdict().items():
            row[metric if part == "value" else f"{metric}_{part}"] = f"{value:.6g}"
    return row


def measure(folder: Path, runs: list[tuple[str, int]], chosen: str, table: Path) -> None:
    """All complete runs, measured and written to the table."""
    images = data.load_images(BUDGETS[chosen].images)
    rows = [row_of(folder, name, seed, images) for name, seed in runs]
    training.History(rows).to_csv(table)
    print(f"written: {table}")


def main() -> None:
    description = __doc__.splitlines()[0]
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--budget", choices=BUDGETS, default="minutes")
    parser.add_argument("--models", nargs="+", choices=MODELS, default=MODELS)
    parser.add_argument("--seeds", nargs="+", type=int, help="by default 0, 1, 2")
    parser.add_argument("--out", type=Path, help="by default runs/gan-comparison-BUDGET")
    parser.add_argument("--table", type=Path, help="by default data/runs/gan-comparison-….csv")
    parser.add_argument("--cpu-seconds", type=int, help="instead of the budget's own")
    parser.add_argument("--train-only", action="store_true", help="train, do not measure")
    options = parser.parse_args()
    torch.set_num_threads(1)
    budget = BUDGETS[options.budget]
    if options.cpu_seconds:
        budget = dataclasses.replace(budget, seconds=options.cpu_seconds)
    folder = options.out or Path("runs") / f"gan-comparison-{options.budget}"
    folder.mkdir(parents=True, exist_ok=True)
    images = data.load_images(budget.images)
    runs = [
        (name, seed)
        for seed in (range(budget.seeds) if options.seeds is None else options.seeds)
        for name in options.models
    ]
    for name, seed in runs:
        if not (folder / f"{name}-{seed}.json").exists():
            save(folder, name, seed, options.budget, *train(name, seed, budget, images))
    if options.train_only:
        return
    table = options.table or Path(f"data/runs/gan-comparison-{options.budget}.csv")
    measure(folder, runs, options.budget, table)


if __name__ == "__main__":
    sys.exit(main())
