r"""What an epoch of a VAE costs: against its size, the batch and the data, and what was tried.

    python -m benchmarks.vae_cost                        # prints two tables
    python -m benchmarks.vae_cost --figure cost.png      # and draws the first

Each point is the median of several epochs through `training.fit`, in turn over all points, on the
bundled digits repeated to the number of images. No network, a few minutes on two quiet cores.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from benchmarks.epoch import course_loss, processor, repeated
from vae_course import data, losses, models, training

BASE = {"latent_dim": 20, "hidden": 400, "batch_size": 128, "images": 12_800}
SWEEPS = {
    "latent_dim": (2, 5, 20, 80, 320),
    "hidden": (100, 200, 400, 800, 1600),
    "batch_size": (32, 128, 512, 2048),
    "images": (3200, 12_800, 51_200),
}
AXES = {
    "latent_dim": "latent size",
    "hidden": "hidden units",
    "batch_size": "batch size",
    "images": "images",
}


def seconds_of_epoch(images: Tensor, *, latent_dim, hidden, batch_size, images_count) -> float:
    torch.manual_seed(0)
    model = models.VAE.dense(latent_dim, hidden=hidden)
    start = time.perf_counter()
    training.fit(
        model, course_loss, images[:images_count], epochs=1, batch_size=batch_size, progress=False
    )
    return time.perf_counter() - start


def sweep(images: Tensor, repetitions: int) -> dict[str, dict[int, float]]:
    points = [(name, value) for name, values in SWEEPS.items() for value in values]
    times: dict[tuple[str, int], list[float]] = {point: [] for point in points}
    for _ in range(repetitions):
        for name, value in points:
            chosen = BASE | {name: value}
            count = chosen.pop("images")
            times[name, value].append(seconds_of_epoch(images, images_count=count, **chosen))
    return {
        name: {value: statistics.median(times[name, value]) for value in values}
        for name, values in SWEEPS.items()
    }


# ------------------------------------------------------------------------- what was tried


def variants(images: Tensor) -> dict[str, Callable[[], float]]:
    r"""One epoch each of a loop with one thing changed; returns seconds."""
    return {
        "dense: as in fit (fused Adam, one gather a batch)": lambda: loop(images),
        "dense: Adam with its defaults": lambda: loop(images, fused=False),
        "dense: one gather for 16 batches": lambda: loop(images, gather=16),
        "dense: torch.compile": lambda: loop(images, compiled=True),
        "dense: bfloat16 inside the network": lambda: loop(images, half=True),
        "conv: as in fit": lambda: loop(images[:2560], conv=True),
        "conv: channels-last": lambda: loop(images[:2560], conv=True, channels_last=True),
        "conv: bfloat16 inside the network": lambda: loop(images[:2560], conv=True, half=True),
        "conv: both": lambda: loop(images[:2560], conv=True, half=True, channels_last=True),
    }


def loop(
    images: Tensor, *, fused=True, gather=1, compiled=False, half=False, conv=False,
    channels_last=False, batch_size=128,
) -> float:  # fmt: skip
    torch.manual_seed(0)
    model: nn.Module = models.VAE.conv(20) if conv else models.VAE.dense(20)
    if channels_last:
        model = model.to(memory_format=torch.channels_last)
    optimizer = torch.optim.Adam(model.parameters(), fused=fused)
    called = torch.compile(model) if compiled else model
    if compiled:  # compiling is paid once and not counted here
        loss_of(called, images[:batch_size]).backward()
    start = time.perf_counter()
    order = torch.randperm(len(images))
    for wide in order.split(batch_size * gather):
        for image in images[wide].split(batch_size):
            if channels_last:
                image = image.contiguous(memory_format=torch.channels_last)
            with torch.autocast("cpu", torch.bfloat16, enabled=half):
                loss = loss_of(called, image)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return time.perf_counter() - start


def loss_of(model: Callable, image: Tensor) -> Tensor:
    logits, mean, log_var = model(image)
    return losses.negative_elbo(logits, image, mean, log_var)


def draw(results: dict[str, dict[int, float]], path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    from matplotlib.ticker import NullFormatter

    from vae_course import plots

    plots.use_house_style()
    figure, panels = plt.subplots(
        1, len(results), figsize=(11, 3), sharey=True, layout="constrained"
    )
    for panel, (name, points) in zip(panels, results.items(), strict=True):
        panel.loglog(list(points), list(points.values()), marker="o")
        panel.axvline(BASE[name], color="0.7", linestyle=":")
        panel.set_xlabel(AXES[name])
        panel.set_xticks(list(points), [f"{value:,}" for value in points])
        panel.xaxis.set_minor_formatter(NullFormatter())  # its labels would cover the others
    panels[0].set_ylabel("seconds an epoch")
    panels[0].set_yticks([0.1, 0.2, 0.5, 1, 2], ["0.1", "0.2", "0.5", "1", "2"])
    panels[0].yaxis.set_minor_formatter(NullFormatter())
    figure.savefig(path, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--figure", type=Path, help="where to store the picture")
    options = parser.parse_args()
    images = repeated(data.load_images("mnist-5k").train_images, max(SWEEPS["images"]))
    print(processor(), f"torch {torch.__version__}", sep=", ")
    print(f"dense VAE; where nothing else is said: {BASE}")
    seconds_of_epoch(images, latent_dim=2, hidden=50, batch_size=128, images_count=1280)
    results = sweep(images, options.repetitions)
    for name, points in results.items():
        shown = "   ".join(f"{value}: {seconds:.2f} s" for value, seconds in points.items())
        print(f"{name:<12}{shown}")
    if options.figure:
        draw(results, options.figure)
    print("\nwhat was tried (dense: 12,800 images, conv: 2,560)")
    found: dict[str, list[float]] = {}
    for _ in range(options.repetitions):
        for name, run in variants(images[: BASE["images"]]).items():
            try:
                seconds = run()
                found.setdefault(name, []).append(seconds)
            except Exception as error:  # no compiler at hand, no kernel for this
                print(f"{name}: {type(error).__name__}: {str(error).splitlines()[0][:90]}")
    for name, times in found.items():
        base = found["conv: as in fit" if name.startswith("conv") else next(iter(found))]
        seconds = statistics.median(times)
        print(f"{seconds:6.2f} s   {seconds / statistics.median(base):4.2f} of as in fit   {name}")


if __name__ == "__main__":
    main()
