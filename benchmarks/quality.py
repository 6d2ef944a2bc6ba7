r"""Seconds of one core until the standard small VAE is as good as after ten usual epochs.

    python -m benchmarks.quality           # the recipes: data/runs/time-to-quality.csv
    python -m benchmarks.quality tried     # one change at a time: …/time-to-quality-tried.csv
    python -m benchmarks.quality --table   # both, as the files have them

All train the 784-400-20-400-784 model on the 60,000 digits of MNIST (put them where VAE_COURSE_DATA
says) until its −ELBO on the 10,000 test digits is at most 105.4 nats. The usual recipe is that of
`benchmarks.epoch`; each of the others goes through `training.fit`, with one change more than the
one before. Processor seconds of one thread on one core, recipes in turn, without the time that it
takes to measure the loss.

At a constant learning rate the loss is measured after each epoch, and the last one counts in
proportion to what was needed of it. A schedule is made for its number of epochs, so it counts
whole. `tried` chose its settings, on 5,000 training digits set aside; only the number of epochs
follows from the target itself, as the smallest that reaches it with every seed.
"""

import argparse
import contextlib
import csv
import math
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import OneCycleLR
from torch.optim.swa_utils import AveragedModel

from benchmarks.epoch import (
    course_loss,
    matrix_products,
    new_model,
    torchvision_copy,
    usual_epoch,
)
from benchmarks.machine import cores
from vae_course import data, losses, training
from vae_course.files import write_rows

TARGET = 105.4  # nats per image, −ELBO on the test digits
REQUIRED = 6.0  # times the usual recipe
RUNS = Path(__file__).resolve().parents[1] / "data" / "runs"
MEASURED, TRIED = RUNS / "time-to-quality.csv", RUNS / "time-to-quality-tried.csv"
VALIDATION = 5000  # training digits that `tried` sets aside


@dataclass(frozen=True)
class Recipe:
    r"""What `fit` is called with."""

    epochs: int = 15  # at most, where the rate is constant
    batch_size: int = 128
    rate: float = 1e-3  # constant, or the highest one
    decoder: float = 1.0  # the decoder's rate, over that of the encoder
    warm_up: float | None = None  # share of the steps up; then in a line to 0. None: constant
    bias: bool = False  # the decoder starts with the average digit
    centred: bool = False  # the encoder sees the image less the average one
    half: bool = False  # products in bfloat16
    # Only tried:
    cosine: bool = False  # down to 0, in place of the line
    betas: tuple[float, float] = (0.9, 0.999)  # Adam's
    average: float | None = None  # decay of a running average of the weights, which is judged
    muon: bool = False  # for the matrices, Adam at a fifth of the rate for the biases

    @property
    def whole(self) -> bool:
        r"""Whether it is made for its number of epochs, and can't stop before."""
        return self.warm_up is not None


AVERAGE_DIGIT = {"bias": True, "centred": True}
ONE_CYCLE = AVERAGE_DIGIT | {"batch_size": 256, "warm_up": 0.05}
TWO_RATES = ONE_CYCLE | {"epochs": 2, "rate": 8e-3, "decoder": 4.0}
IN_MEMORY = "images in memory, fused Adam"
RECIPES = {
    IN_MEMORY: Recipe(),
    "+ average digit off, and on again": Recipe(**AVERAGE_DIGIT),
    "+ batch 256, one cycle up to 0.02": Recipe(**ONE_CYCLE, epochs=3, rate=2e-2),
    "+ encoder 0.008, decoder 0.032": Recipe(**TWO_RATES),
    "+ products in bfloat16": Recipe(**TWO_RATES, half=True),
}
OURS = list(RECIPES.values())[-1]
CHANGES = {
    "as chosen": {},
    "decoder's bias as PyTorch draws it": {"bias": False},
    "the encoder sees the images as they are": {"centred": False},
    "one epoch": {"epochs": 1},
    "one rate for both, 0.008": {"decoder": 1.0},
    "one rate for both, 0.02": {"decoder": 1.0, "rate": 2e-2},
    "the encoder four times as fast": {"decoder": 0.25, "rate": 3.2e-2},
    "decoder eight times as fast": {"decoder": 8.0},
    "half of both rates": {"rate": 4e-3},
    "batch 128": {"batch_size": 128},
    "batch 512": {"batch_size": 512},
    "a fifth of the steps up, a cosine down": {"warm_up": 0.2, "cosine": True},
    "Adam's β₂ = 0.99": {"betas": (0.9, 0.99)},
    "averaged weights (0.99) as well": {"average": 0.99},
    "averaged weights (0.99), constant 0.004": {"average": 0.99, "rate": 4e-3, "warm_up": None},
    "Muon, one rate, up to 0.005": {"muon": True, "rate": 5e-3, "decoder": 1.0},
}


class Reached(Exception):
    r"""The loss is low enough."""


class Clock:
    r"""Processor seconds of this process since it was made, but for the pauses."""

    def __init__(self):
        self.start = time.process_time()

    def seconds(self) -> float:
        return time.process_time() - self.start

    def without(self, measure: Callable[[], float]) -> float:
        before = time.process_time()
        found = measure()
        self.start += time.process_time() - before
        return found


class Centred(nn.Module):
    def __init__(self, average: Tensor):
        super().__init__()
        self.register_buffer("average", average)

    def forward(self, image: Tensor) -> Tensor:
        return image - self.average


def half_loss(model: nn.Module, image: Tensor) -> Tensor:
    r"""The course's loss with the network's products in bfloat16; the sums stay in float32."""
    with torch.autocast("cpu", torch.bfloat16):
        logits, mean, log_var = model(image)
    return losses.negative_elbo(logits, image, mean, log_var)


def running_average(decay: float) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
    r"""For AveragedModel: the decay grows up to `decay`, so the first weights are forgotten."""

    def average(averaged: Tensor, current: Tensor, count: Tensor) -> Tensor:
        kept = min(decay, (1 + float(count)) / (10 + float(count)))
        return kept * averaged + (1 - kept) * current

    return average


def start_at_average(model: nn.Module, images: Tensor) -> None:
    r"""With a code that says nothing, each pixel is white as often as in the training images."""
    with torch.no_grad():
        model.decoder[-2].bias.copy_(torch.logit(images.mean(dim=0).flatten(), eps=1e-3))


def prepared(recipe: Recipe, images: Tensor, seed: int) -> nn.Module:
    model = new_model("vae", seed)
    if recipe.bias:
        start_at_average(model, images)
    if recipe.centred:
        model.encoder.insert(0, Centred(images.mean(dim=0)))
    return model


def optimizers(recipe: Recipe, model: nn.Module, steps: int) -> dict[str, object]:
    r"""What `fit` gets as optimizer and scheduler."""
    rates = [recipe.rate, recipe.decoder * recipe.rate]
    halves = zip((model.encoder, model.decoder), rates, strict=True)
    groups = [{"params": [*half.parameters()], "lr": rate} for half, rate in halves]
    make = torch.optim.Adam
    optimizer = make(groups, betas=recipe.betas, fused=True)
    if recipe.muon:
        parameters = list(model.parameters())
        matrices = [p for p in parameters if p.dim() == 2]
        rates = recipe.rate
        optimizer = torch.optim.Muon(  # three Newton–Schulz steps
            matrices, lr=recipe.rate, weight_decay=0.0, adjust_lr_fn="match_rms_adamw", ns_steps=3
        )  # fmt: skip
        others = make([p for p in parameters if p.dim() != 2], lr=recipe.rate / 5, fused=True)
        optimizer.register_step_post_hook(lambda *_: others.step())
        optimizer.register_step_post_hook(lambda *_: others.zero_grad())
    if recipe.warm_up is None:
        return {"optimizer": optimizer}
    scheduler = OneCycleLR(
        optimizer, max_lr=rates, total_steps=steps, pct_start=recipe.warm_up,
        anneal_strategy="cos" if recipe.cosine else "linear", cycle_momentum=False,
    )  # fmt: skip
    return {"optimizer": optimizer, "scheduler": scheduler}


def by_fit(
    recipe: Recipe, images: Tensor, judged: Tensor, seed: int, *, stop: bool = False
) -> list[dict]:
    r"""Train by a recipe; a row an epoch: seconds so far, and the loss on the judged images.

    stop: after the epoch in which the loss came down to TARGET
    """
    rows: list[dict] = []
    clock = Clock()
    model = prepared(recipe, images, seed)
    steps = recipe.epochs * math.ceil(len(images) / recipe.batch_size)
    how = optimizers(recipe, model, steps)
    reported = model
    if recipe.average:
        reported = AveragedModel(model, avg_fn=running_average(recipe.average))
        how["optimizer"].register_step_post_hook(lambda *_: reported.update_parameters(model))

    def after_epoch(epoch: int, model: nn.Module, history: training.History) -> None:
        vae = reported.module if recipe.average else model
        loss = clock.without(lambda: training.evaluate(vae, course_loss, judged)["loss"])
        rows.append({"epoch": epoch, "seconds": clock.seconds(), "loss": loss})
        if stop and loss <= TARGET:
            raise Reached

    loss = half_loss if recipe.half else course_loss
    with contextlib.suppress(Reached):
        training.fit(model, loss, images, epochs=recipe.epochs, batch_size=recipe.batch_size,
                     seed=seed, progress=False, after_epoch=after_epoch, **how)  # fmt: skip
    return rows


def usual(digits, judged: Tensor, seed: int) -> list[dict]:
    rows: list[dict] = []
    clock = Clock()
    model = new_model("vae", seed)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    for epoch in range(1, Recipe.epochs + 1):
        usual_epoch(
            model, digits, batch_size=128, seed=1000 * seed + epoch, workers=0, optimizer=optimizer
        )
        loss = clock.without(lambda: training.evaluate(model, course_loss, judged)["loss"])
        rows.append({"epoch": epoch, "seconds": clock.seconds(), "loss": loss})
        if loss <= TARGET:
            break
    return rows


def to_target(rows: list[dict], *, whole: bool) -> tuple[float, float]:
    r"""Epochs and seconds until the loss is at most TARGET; infinite if it never was.

    whole: the last epoch counts whole; otherwise in proportion to the fall of the loss in it
    """
    before = {"epoch": 0, "seconds": 0.0, "loss": math.inf}
    for row in rows:
        if row["loss"] <= TARGET:
            share = 1.0
            if not whole and math.isfinite(before["loss"]):
                share = (before["loss"] - TARGET) / (before["loss"] - row["loss"])
            return tuple(
                before[key] + share * (row[key] - before[key]) for key in ("epoch", "seconds")
            )
        before = row
    return math.inf, math.inf


def measure(digits: data.ImageData, seeds: int) -> None:
    r"""Every recipe in turn, seed by seed; the file is written after each round."""
    table: list[dict] = []
    with tempfile.TemporaryDirectory() as folder:
        copy = torchvision_copy(folder, digits.train_images, digits.train_labels)
        for seed in range(seeds):
            begun = time.process_time()
            model = new_model("vae", seed)
            matrix_products(model, images=len(digits.train_images), batch_size=128)
            unit = time.process_time() - begun
            for name in ("usual", *RECIPES):
                if name == "usual":
                    rows = usual(copy, digits.test_images, seed)
                else:
                    sets = digits.train_images, digits.test_images
                    rows = by_fit(RECIPES[name], *sets, seed, stop=not RECIPES[name].whole)
                epochs, seconds = to_target(rows, whole=counts_whole(name))
                print(f"seed {seed}: {name}: {epochs:.1f} epochs, {seconds:.1f} s, "
                      f"at the end {rows[-1]['loss']:.2f} nats", flush=True)  # fmt: skip
                table += [
                    {"recipe": name, "seed": seed, "epoch": row["epoch"],
                     "seconds": round(row["seconds"], 3), "test_loss": round(row["loss"], 3),
                     "products": round(unit, 3), "machine": machine()}
                    for row in rows
                ]  # fmt: skip
            write_rows(MEASURED, table)


def counts_whole(name: str) -> bool:
    return name in RECIPES and RECIPES[name].whole


def choose(digits: data.ImageData, seeds: int) -> None:
    r"""The recipe with one change at a time, judged on digits that were set aside."""
    table: list[dict] = []
    for name, change in CHANGES.items():
        recipe = replace(OURS, **change)
        for seed in range(seeds):
            rows = by_fit(recipe, digits.train_images, digits.validation_images, seed)
            table.append({"change": name, "seed": seed, "epochs": rows[-1]["epoch"],
                          "seconds": round(rows[-1]["seconds"], 3),
                          "validation_loss": round(rows[-1]["loss"], 3)})  # fmt: skip
        print(table[-1], flush=True)
        write_rows(TRIED, table)


def machine() -> str:
    return f"{cores()}, torch {torch.__version__}".replace(",", ";")


def read(path: Path) -> list[dict]:
    with path.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    text = ("recipe", "change", "machine")
    return [{k: v if k in text else float(v) for k, v in row.items()} for row in rows]


def reached(table: list[dict]) -> dict[str, dict]:
    r"""Of each recipe medians over seeds: epochs, seconds and units to the target, the last loss.

    units: matrix products of an epoch, measured in the same round
    times: the usual recipe's seconds by its own in the same round: least, median, most
    """
    seeds = sorted({row["seed"] for row in table})
    names = list(dict.fromkeys(row["recipe"] for row in table))
    found: dict[str, dict] = {}
    per_seed: dict[tuple[str, float], tuple[float, float, float, float]] = {}
    for name in names:
        for seed in seeds:
            rows = [row | {"loss": row["test_loss"]} for row in table
                    if row["recipe"] == name and row["seed"] == seed]  # fmt: skip
            epochs, seconds = to_target(rows, whole=counts_whole(name))
            units = seconds / rows[0]["products"]
            per_seed[name, seed] = epochs, seconds, units, rows[-1]["loss"]
        columns = zip(*(per_seed[name, seed] for seed in seeds), strict=True)
        found[name] = dict(
            zip(("epochs", "seconds", "units", "end"), map(statistics.median, columns), strict=True)
        )
        times = [per_seed[names[0], seed][1] / per_seed[name, seed][1] for seed in seeds]
        found[name]["times"] = min(times), statistics.median(times), max(times)
    return found


def show() -> None:
    if MEASURED.exists():
        table = read(MEASURED)
        found = reached(table)
        print(f"{table[0]['machine']}; {len({row['seed'] for row in table})} seeds\n")
        head = ("recipe", "epochs", "seconds", "in products", "times", "−ELBO at the end")
        print(f"| {' | '.join(head)} |\n{'|---' * len(head)}|")
        for name, row in found.items():
            low, times, high = row["times"]
            print(f"| {name} | {row['epochs']:.1f} | {row['seconds']:.1f} | {row['units']:.0f} | "
                  f"{times:.1f} ({low:.1f} to {high:.1f}) | {row['end']:.2f} |")  # fmt: skip
        print(f"\nasked for: {REQUIRED:g} times, {'met' if times >= REQUIRED else 'NOT met'}")
    if TRIED.exists():
        table = read(TRIED)
        head = ("changed", "epochs", "seconds", "validation −ELBO", "sd over seeds")
        print(f"\n| {' | '.join(head)} |\n{'|---' * len(head)}|")
        for name in dict.fromkeys(row["change"] for row in table):
            rows = [row for row in table if row["change"] == name]
            loss = [row["validation_loss"] for row in rows]
            print(f"| {name} | {rows[0]['epochs']:.0f} | "
                  f"{statistics.median(row['seconds'] for row in rows):.1f} | "
                  f"{statistics.mean(loss):.2f} | {statistics.stdev(loss):.2f} |")  # fmt: skip


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("part", nargs="?", choices=("recipes", "tried"), default="recipes")
    parser.add_argument("--seeds", type=int, default=3, help="default: %(default)s")
    parser.add_argument("--table", action="store_true", help="only show what the files hold")
    options = parser.parse_args(arguments)
    if options.seeds < 2:
        parser.error("--seeds starts at 2: medians and spreads are taken over them")
    if options.table:
        return show()
    torch.set_num_threads(1)
    if hasattr(os, "sched_setaffinity"):  # one core, always the same
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    if options.part == "tried":
        choose(data.load_images("mnist", validation=VALIDATION), options.seeds)
    else:
        measure(data.load_images("mnist"), options.seeds)
    show()


if __name__ == "__main__":
    main()
