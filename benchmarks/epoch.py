r"""One epoch of the standard small VAE, through `vae_course` and through the usual recipe.

    python -m benchmarks.epoch                      # needs no network
    python -m benchmarks.epoch --images-from mnist  # the full set, if it is in the cache
    python -m benchmarks.epoch --model autoencoder  # the dense autoencoder of notebook 01
    python -m benchmarks.epoch --images-from mnist --epochs 10   # and the loss after ten epochs

The usual recipe is torchvision's data set with ToTensor, a shuffling DataLoader, a plain loop and
Adam with its defaults. Both train the same model, from the same weights, on the same images, with
the same batch size and learning rate, in turn, several times. The matrix products alone, on
tensors of the same sizes, show how much of an epoch no recipe can save. The same epoch *by hand*
has its gradients written out, into memory made beforehand: what PyTorch's operations need without
a recipe, modules or automatic differentiation.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.machine import NOT_QUIET, cores, cpu_seconds_of_others
from vae_course import data, losses, models, training

if TYPE_CHECKING:
    import torchvision

LATENT_DIM = 20
HIDDEN = 400
LEARNING_RATE = 1e-3
REQUIRED_FLOOR = 1.4  # times the matrix products alone, on two cores
LOSS_AFTER_TEN = 105.5  # nats per image, of the VAE on the full digits
REQUIRED_LOSS_DIFFERENCE = 0.01  # relative


def new_model(kind: str, seed: int) -> nn.Module:
    torch.manual_seed(seed)
    build = models.VAE.dense if kind == "vae" else models.DenseAutoencoder
    return build(LATENT_DIM, hidden=HIDDEN)


def course_loss(model: nn.Module, image: Tensor) -> Tensor:
    r"""Nats per image, with the functions of the course."""
    if isinstance(model, models.VAE):
        logits, mean, log_var = model(image)
        return losses.negative_elbo(logits, image, mean, log_var)
    return losses.bernoulli_nll(model(image), image).mean()


def usual_loss(model: nn.Module, image: Tensor) -> Tensor:
    r"""Nats per image, as most tutorials write it."""
    if isinstance(model, models.VAE):
        logits, mean, log_var = model(image)
        kl = -0.5 * torch.sum(1 + log_var - mean.pow(2) - log_var.exp())
    else:
        logits, kl = model(image), 0.0
    nll = F.binary_cross_entropy_with_logits(logits, image, reduction="sum")
    return (nll + kl) / len(image)


def usual_epoch(
    model: nn.Module, digits, *, batch_size: int, seed: int, workers: int,
    optimizer: torch.optim.Optimizer | None = None,
) -> float:  # fmt: skip
    r"""The loop of most tutorials; returns the training loss in nats per image.

    optimizer: that of the epochs before, if there were any
    """
    torch.manual_seed(seed)
    loader = torch.utils.data.DataLoader(
        digits, batch_size=batch_size, shuffle=True, num_workers=workers
    )
    optimizer = optimizer or torch.optim.Adam(model.parameters(), lr=LEARNING_RATE)
    total = 0.0
    model.train()
    for image, _ in loader:
        loss = usual_loss(model, image)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        total += loss.item() * len(image)
    return total / len(digits)


def course_epoch(model: nn.Module, images: Tensor, *, batch_size: int, seed: int) -> float:
    r"""The same epoch through `fit`; returns the training loss in nats per image."""
    history = training.fit(
        model, course_loss, images, epochs=1, batch_size=batch_size,
        learning_rate=LEARNING_RATE, seed=seed, progress=False,
    )  # fmt: skip
    return history.last["train_loss"]


@torch.no_grad()
def epoch_by_hand(model: models.VAE, images: Tensor, *, batch_size: int, seed: int) -> float:
    r"""The same epoch, its gradients written out; returns the training loss in nats per image."""
    torch.manual_seed(seed)
    pixels, size, latent = images.flatten(1), batch_size, model.latent_dim
    layers = [layer for layer in model.modules() if isinstance(layer, nn.Linear)]
    w, b = [layer.weight for layer in layers], [layer.bias for layer in layers]
    dw, db = ([torch.zeros_like(x) for x in some] for some in (w, b))
    weights, gradients = [*w, *b], [*dw, *db]
    means, squares = ([torch.zeros_like(x) for x in weights] for _ in range(2))
    steps = [torch.zeros(()) for _ in weights]
    image, hidden, code, upper, logits = (
        torch.empty(size, n) for n in (w[0].shape[1], *(len(x) for x in w))
    )
    d_logits, d_upper, d_code, d_hidden = map(torch.empty_like, (logits, upper, code, hidden))
    total, order = 0.0, torch.randperm(len(pixels))
    for rows in order[: len(order) // size * size].split(size):
        torch.index_select(pixels, 0, rows, out=image)
        torch.addmm(b[0], image, w[0].T, out=hidden).relu_()
        mean, log_var = torch.addmm(b[1], hidden, w[1].T, out=code).split(latent, dim=1)
        noise, std = torch.randn(size, latent), torch.exp(0.5 * log_var)
        z = mean + std * noise
        torch.addmm(b[2], z, w[2].T, out=upper).relu_()
        torch.addmm(b[3], upper, w[3].T, out=logits)
        total += F.binary_cross_entropy_with_logits(logits, image, reduction="sum")
        total -= 0.5 * torch.sum(1 + log_var - mean.square() - log_var.exp())

        torch.sigmoid(logits, out=d_logits).sub_(image).div_(size)
        torch.mm(d_logits.T, upper, out=dw[3])
        torch.mm(d_logits, w[3], out=d_upper).mul_(upper > 0)
        torch.mm(d_upper.T, z, out=dw[2])
        d_z = d_upper @ w[2]
        d_code[:, :latent] = d_z + mean / size
        d_code[:, latent:] = 0.5 * (d_z * noise * std + (log_var.exp() - 1) / size)
        torch.mm(d_code.T, hidden, out=dw[1])
        torch.mm(d_code, w[1], out=d_hidden).mul_(hidden > 0)
        torch.mm(d_hidden.T, image, out=dw[0])
        for gradient, into in zip((d_hidden, d_code, d_upper, d_logits), db, strict=True):
            torch.sum(gradient, dim=0, out=into)
        torch._foreach_add_(steps, 1)
        torch._fused_adam_(
            weights, gradients, means, squares, [], steps, lr=LEARNING_RATE, beta1=0.9,
            beta2=0.999, weight_decay=0, eps=1e-8, amsgrad=False, maximize=False,
        )  # fmt: skip
    return float(total) / (len(order) // size * size)


@torch.no_grad()
def matrix_products(model: nn.Module, *, images: int, batch_size: int) -> None:
    r"""The products of one epoch, forward and backward, without anything around them."""
    layers = [layer for layer in model.modules() if isinstance(layer, nn.Linear)]
    work = [
        (torch.rand(batch_size, layer.in_features), torch.rand(batch_size, layer.out_features))
        for layer in layers
    ]
    for _ in range(images // batch_size):
        for number, (layer, (image, gradient)) in enumerate(zip(layers, work, strict=True)):
            image @ layer.weight.T  # (batch, out)
            gradient.T @ image  # (out, in), the weight's gradient
            if number > 0:
                gradient @ layer.weight  # (batch, in), not needed for the pixels


def write_idx(path: Path, array: np.ndarray) -> None:
    r"""The file format of MNIST: two zero bytes, type 8 (bytes), the sizes, then the bytes."""
    sizes = np.array(array.shape, dtype=">i4").tobytes()
    path.write_bytes(bytes([0, 0, 8, array.ndim]) + sizes + array.astype(np.uint8).tobytes())


def torchvision_copy(folder: str, images: Tensor, labels: Tensor) -> torchvision.datasets.MNIST:
    r"""The same digits as torchvision reads them: idx files in `folder`, an image a call."""
    import torchvision  # here, because it takes a second and more, and other benchmarks don't

    raw = Path(folder) / "MNIST" / "raw"
    raw.mkdir(parents=True)
    pixels = images.squeeze(1).mul(255).round().to(torch.uint8).numpy()  # (N, 28, 28)
    for part in ("train", "t10k"):
        count = len(images) if part == "train" else 1  # torchvision asks for both parts
        write_idx(raw / f"{part}-images-idx3-ubyte", pixels[:count])
        write_idx(raw / f"{part}-labels-idx1-ubyte", labels[:count].numpy())
    to_tensor = torchvision.transforms.ToTensor()
    return torchvision.datasets.MNIST(folder, train=True, transform=to_tensor)


def repeated(tensor: Tensor, count: int) -> Tensor:
    return tensor[torch.arange(count) % len(tensor)]


def processor() -> str:
    return f"{cores()}, {torch.get_num_threads()} torch threads"


def parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="One training epoch through vae_course and through the usual recipe, in turn.",
        epilog="example: python -m benchmarks.epoch --repetitions 5",
    )
    parser.add_argument("--model", default="vae", choices=("vae", "autoencoder"))
    parser.add_argument("--epochs", type=int, default=0, help="of `fit`, for the loss after them")
    parser.add_argument("--only", nargs=2, help=argparse.SUPPRESS)  # recipe and folder
    parser.add_argument(
        "--images-from", default="mnist-5k", choices=("mnist-5k", "mnist"),
        help="mnist-5k is bundled; mnist is read from VAE_COURSE_DATA (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--images", type=int, default=60_000,
        help="images an epoch, a smaller set is repeated (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--workers", type=int, default=0, help="of the usual DataLoader")
    options = parser.parse_args(arguments)
    if options.batch_size < 1 or options.repetitions < 1 or options.workers < 0:
        parser.error("--batch-size and --repetitions start at 1, --workers at 0")
    if options.images < options.batch_size:
        parser.error(f"--images must be at least the batch size, {options.batch_size}")
    return options


def main(arguments: list[str] | None = None) -> None:
    options = parse(arguments)
    if options.only:
        return alone(options, *options.only)
    source = data.load_images(options.images_from)
    images = repeated(source.train_images, options.images)
    labels = repeated(source.train_labels, options.images)
    print(f"machine   {processor()}")
    print(
        f"software  Python {platform.python_version()}, torch {torch.__version__}, "
        f"torchvision {version('torchvision')}\n"
        f"task      {len(images):,} images an epoch ({len(source.train_images):,} different ones, "
        f"{source.name}), batches of {options.batch_size}\n"
        f"model     784-{HIDDEN}-{LATENT_DIM}-{HIDDEN}-784, "
        f"{training.count_parameters(new_model(options.model, 0)):,} weights "
        f"({options.model}); "
        f"DataLoader workers: {options.workers}",
        flush=True,
    )
    with tempfile.TemporaryDirectory() as folder:
        digits = torchvision_copy(folder, images, labels)
        results = measure(options, images, digits, source.test_images)
        report(results, options)
        for name in ("usual", "vae_course"):
            own = [*(sys.argv[1:] if arguments is None else arguments), "--only", name, folder]
            command = [sys.executable, "-m", "benchmarks.epoch", *own]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            print(f"peak memory of a process with {name:<11} {done.stdout.split()[-1]:>6} MiB")
    if options.epochs:
        after_epochs(options, images, source.test_images)


def alone(options, name: str, folder: str) -> None:
    r"""One epoch in a process of its own: how much memory it took in all, in MiB."""
    model = new_model(options.model, 0)
    if name == "usual":
        import torchvision

        to_tensor = torchvision.transforms.ToTensor()
        digits = torchvision.datasets.MNIST(folder, train=True, transform=to_tensor)
        usual_epoch(model, digits, batch_size=options.batch_size, seed=0, workers=options.workers)
    else:
        images = repeated(data.load_images(options.images_from).train_images, options.images)
        course_epoch(model, images, batch_size=options.batch_size, seed=0)
    status = Path("/proc/self/status")  # ru_maxrss would begin with the parent's memory
    if status.exists():
        peak = [line.split()[1] for line in status.read_text().splitlines() if "VmHWM" in line]
        print(int(peak[0]) // 1024)
    else:
        print("unknown")


def after_epochs(options, images: Tensor, test_images: Tensor) -> None:
    model = new_model(options.model, 0)
    history = training.fit(
        model, course_loss, images, epochs=options.epochs, batch_size=options.batch_size,
        learning_rate=LEARNING_RATE, test_images=test_images, progress=False,
    )  # fmt: skip
    print(f"test loss after {options.epochs} epochs: {history.last['test_loss']:.2f} nats", end="")
    if options.model == "vae" and options.epochs == 10 and options.images_from == "mnist":
        met = abs(history.last["test_loss"] - LOSS_AFTER_TEN) <= 1
        print(f"; asked for, {LOSS_AFTER_TEN} within 1: {'met' if met else 'NOT met'}", end="")
    print()


def measure(options, images: Tensor, digits, test_images: Tensor) -> dict[str, list[dict]]:
    r"""The two recipes and the bare products in turn, `options.repetitions` times."""
    batch_size = options.batch_size
    work = {
        "usual": lambda model, seed: usual_epoch(
            model, digits, batch_size=batch_size, seed=seed, workers=options.workers
        ),
        "vae_course": lambda model, seed: course_epoch(
            model, images, batch_size=batch_size, seed=seed
        ),
        "by hand": lambda model, seed: epoch_by_hand(
            model, images, batch_size=batch_size, seed=seed
        ),
        "products": lambda model, seed: matrix_products(
            model, images=len(images), batch_size=batch_size
        ),
    }
    if options.model != "vae":
        del work["by hand"]
    first = range(min(10 * batch_size, len(images)))  # a short warm-up, not measured
    usual_epoch(
        new_model(options.model, 0), torch.utils.data.Subset(digits, first),
        batch_size=batch_size, seed=0, workers=options.workers,
    )  # fmt: skip
    course_epoch(new_model(options.model, 0), images[: len(first)], batch_size=batch_size, seed=0)

    results: dict[str, list[dict]] = {name: [] for name in work}
    for seed in range(options.repetitions):
        for name, epoch in work.items():
            model = new_model(options.model, seed)
            others, start = cpu_seconds_of_others(), time.perf_counter()
            train_loss = epoch(model, seed)
            spent = time.perf_counter() - start
            others = cpu_seconds_of_others() - others
            test_loss = training.evaluate(model, course_loss, test_images)["loss"]
            results[name].append(
                {"seconds": spent, "others": others, "train": train_loss, "test": test_loss}
            )
        latest = "   ".join(f"{name} {rows[-1]['seconds']:.2f} s" for name, rows in results.items())
        print(f"epoch {seed + 1}/{options.repetitions}   {latest}", flush=True)
    return results


def report(results: dict[str, list[dict]], options) -> None:
    def column(name: str, key: str) -> list[float]:
        return [row[key] for row in results[name]]

    seconds = {name: statistics.median(column(name, "seconds")) for name in results}
    print("\nmedians       seconds   train loss   test loss (nats / image)")
    for name in [name for name in results if name != "products"]:
        train, test = (statistics.median(column(name, key)) for key in ("train", "test"))
        print(f"{name:<10} {seconds[name]:>10.2f} {train:>12.2f} {test:>11.2f}")
    print(f"{'products':<10} {seconds['products']:>10.2f}   (matrix products alone)")

    pairs = zip(column("usual", "seconds"), column("vae_course", "seconds"), strict=True)
    ratio, products = seconds["usual"] / seconds["vae_course"], seconds["products"]
    difference = max(
        abs(statistics.mean(column("vae_course", key)) / statistics.mean(column("usual", key)) - 1)
        for key in ("train", "test")
    )
    print(
        f"\nusual / vae_course     {ratio:.1f} times "
        f"(epoch by epoch: {', '.join(f'{usual / course:.1f}' for usual, course in pairs)})\n"
        f"losses differ by       {difference:.2%} (means over the epochs, the larger of two); "
        f"asked for, within {REQUIRED_LOSS_DIFFERENCE:.0%}: "
        f"{'met' if difference <= REQUIRED_LOSS_DIFFERENCE else 'NOT met'}"
    )
    for name in [name for name in results if name != "products"]:
        both = zip(column(name, "seconds"), column("products", "seconds"), strict=True)
        times = [epoch / alone for epoch, alone in both]
        print(f"{name + ' / products':<22} {statistics.median(times):.2f} times "
              f"(epoch by epoch: {', '.join(f'{each:.2f}' for each in times)})")  # fmt: skip
    met = seconds["vae_course"] <= REQUIRED_FLOOR * products
    print(f"asked for, two cores   at most {REQUIRED_FLOOR:g} times the products: "
          f"{'met' if met else 'NOT met'}")  # fmt: skip
    others = sum(row["others"] for rows in results.values() for row in rows)
    spent = sum(row["seconds"] for rows in results.values() for row in rows)
    if others > NOT_QUIET * spent:
        print(
            f"\nNOT QUIET: other programs used {others:.0f} s of processor time during these "
            f"{spent:.0f} s.\nOn few cores that slows all of it many times over: measure again."
        )


if __name__ == "__main__":
    main()
