r"""A trained VAE on the command line: new pictures, reconstructions, the clinic."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor, nn

from vae_course import clinic, data, losses, pretrained
from vae_course.files import DataError, write_whole
from vae_course.models import VAE, ConditionalVAE
from vae_course.plots.pictures import fast_png
from vae_course.runs.images import load
from vae_course.training import History

_FEWEST = 16  # training images that the clinic can say something about
_SMALLEST = 4  # pixels of the grid for a pixel of a small picture
_MODES = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}


# ---------------------------------------------------------------------------- pictures and tables


def grid(images: Tensor, *, columns: int = 8) -> Image.Image:
    r"""Pictures in rows. Shapes: (N, C, H, W), 1 to 4 channels, values in [0, 1]."""
    from torchvision.utils import make_grid  # a second and more to import

    count, channels = len(images), images.shape[1]
    larger = max(1, round(28 * _SMALLEST / max(images.shape[2:])))
    images = images.detach().cpu().float().clamp(0, 1)
    images = images.repeat_interleave(larger, dim=2).repeat_interleave(larger, dim=3)
    sheet = make_grid(images, nrow=min(columns, count), padding=2 * larger, pad_value=1.0)
    bands = (sheet[:channels] * 255).round().to(torch.uint8).numpy()
    return Image.merge(_MODES[channels], [Image.fromarray(band) for band in bands])


def samples(model: VAE, count: int, *, seed: int = 0, noise: bool = False) -> Tensor:
    r"""New images from N(0, I), the same for a seed; a conditional model's class by class."""
    generator = torch.Generator().manual_seed(seed)
    labels = ()
    if isinstance(model, ConditionalVAE):
        labels = (torch.arange(count) * model.classes // count,)
    return model.cpu().sample(count, *labels, noise=noise, generator=generator)


@torch.no_grad()
def reconstructions(model: VAE, images: Tensor, labels: Tensor) -> Tensor:
    r"""Images through the middle of their codes. Shapes: (N, …) → the same"""
    given = (labels,) if isinstance(model, ConditionalVAE) else ()
    return model.cpu().eval().reconstruct(images.cpu(), *given)


def beside(images: Tensor, reconstructed: Tensor, *, columns: int = 8) -> Tensor:
    r"""Rows of images, each above the row of its reconstructions, for `grid`."""
    pairs = zip(images.split(columns), reconstructed.to(images).split(columns), strict=True)
    rows = []
    for image, again in pairs:
        empty = image.new_ones(columns - len(image), *image.shape[1:])
        rows += [image, empty, again, empty]
    return torch.cat(rows)


def examination(model: nn.Module, made, history: History | None) -> clinic.Report | None:
    r"""The clinic's report on a VAE of the course; None for one with labels, or too few images."""
    if not isinstance(model, VAE) or isinstance(model, ConditionalVAE):
        return None
    train, test = _parts(made)
    if len(train) < _FEWEST:
        return None
    test = test if len(test) > 1 else None

    def loss(model: VAE, image: Tensor) -> Tensor:
        nll, kl = model.elbo_terms(image)
        return (nll + kl).mean()

    return clinic.examine(model, train, test_images=test, loss=loss, history=history)


def _parts(made) -> tuple[Tensor, Tensor]:
    if isinstance(made, data.TableData):
        return made.train_rows, made.test_rows
    return made.train_images, made.test_images


# ---------------------------------------------------------------------------- commands


def add_generate(commands: argparse._SubParsersAction) -> None:
    r"""Hook `vae-course generate` into the command line."""
    parser = _command(
        commands, "generate", "new pictures (or rows) from a trained VAE",
        "vae-course generate runs/mine --count 64", "samples.png, or samples.csv for a table",
    )  # fmt: skip
    parser.add_argument("--count", type=int, default=64, metavar="N", help="default: 64")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="default: 0")
    parser.add_argument("--noise", action="store_true",
                        help="draw pixels too, as the likelihood has them")  # fmt: skip
    parser.set_defaults(work=_generate)


def add_reconstruct(commands: argparse._SubParsersAction) -> None:
    r"""Hook `vae-course reconstruct` into the command line."""
    parser = _command(
        commands, "reconstruct", "test pictures and what a trained VAE makes of them",
        "vae-course reconstruct runs/mine --data more-pictures/", "reconstructions.png",
    )  # fmt: skip
    parser.add_argument("--count", type=int, default=32, metavar="N", help="default: 32")
    _add_data(parser)
    parser.set_defaults(work=_reconstruct)


def add_examine(commands: argparse._SubParsersAction) -> None:
    r"""Hook `vae-course examine` into the command line."""
    parser = _command(
        commands, "examine", "the clinic: what is wrong with a trained VAE",
        "vae-course examine runs/mine", "examination.html",
    )  # fmt: skip
    _add_data(parser)
    parser.set_defaults(work=_examine)


def _command(commands, name: str, text: str, example: str, out: str):
    parser = commands.add_parser(
        name, help=text, description=f"{text[0].upper()}{text[1:]}.",
        epilog=f"example:\n  {example}", formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("trained", metavar="MODEL", help="the --out folder of a training, a file "
                        "NAME.safetensors, or a model that ships, such as vae-conv")  # fmt: skip
    parser.add_argument("--out", type=Path, metavar="FILE",
                        help=f"default: {out}, beside the model")  # fmt: skip
    return parser


def _add_data(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", metavar="DATA", help="a set's name, a folder or a file; default: "
                        "what the model was trained on")  # fmt: skip


def _opened(arguments: argparse.Namespace) -> tuple[VAE, dict, Path | None]:
    r"""The model, its card and its folder. Raises: DataError if it is no VAE of the course."""
    path = Path(arguments.trained).expanduser()
    if path.is_dir():
        path = path / "model.safetensors"
    model, card = pretrained.load(path if path.is_file() else arguments.trained)
    if not isinstance(model, VAE):
        raise DataError(f"{arguments.trained} holds a {type(model).__name__}; expected a VAE.")
    return model, card, path.parent if path.is_file() else None


def _data_of(arguments: argparse.Namespace, model: VAE, card: Mapping):
    r"""The set, brought to the model's size. Raises: DataError, ValueError if it can't be had."""
    protocol = card.get("protocol", {})
    chosen = getattr(arguments, "data", None) or protocol.get("dataset", "mnist-5k")
    shape = model.image_shape or ()
    same = len(shape) == 3 and shape[1] == shape[2]
    size = shape[1] if same and Path(chosen).is_dir() else 0
    trained_on = chosen == protocol.get("dataset")
    made = load(chosen, size, protocol.get("loading", "") if trained_on else "")
    if shape and tuple(_parts(made)[0].shape[1:]) != tuple(shape):
        raise DataError(
            f"{chosen} holds {'×'.join(map(str, _parts(made)[0].shape[1:]))}, and the model takes "
            f"{'×'.join(map(str, shape))}."
        )
    return made


def _told(work):
    def run(arguments: argparse.Namespace) -> int:
        try:
            print(work(arguments))
        except (DataError, OSError, ValueError) as error:
            print(f"vae-course: {error}", file=sys.stderr)
            return 1
        return 0

    return run


def _target(arguments: argparse.Namespace, folder: Path | None, name: str) -> Path:
    return arguments.out or (folder or Path()) / name


@_told
def _generate(arguments: argparse.Namespace) -> str:
    model, card, folder = _opened(arguments)
    if arguments.count < 1:
        raise ValueError(f"--count is {arguments.count}; expected 1 or more")
    drawn = samples(model, arguments.count, seed=arguments.seed, noise=arguments.noise)
    if isinstance(model.likelihood, losses.Table):
        target = _target(arguments, folder, "samples.csv")
        arguments.data = None
        table = _data_of(arguments, model, card).restore(drawn)
        write_whole(target, table.to_csv(index=False).encode())
    else:
        target = _target(arguments, folder, "samples.png")
        write_whole(target, fast_png(grid(drawn)))
    return f"{target}: {arguments.count} samples, seed {arguments.seed}"


@_told
def _reconstruct(arguments: argparse.Namespace) -> str:
    model, card, folder = _opened(arguments)
    made = _data_of(arguments, model, card)
    _, test = _parts(made)
    images, labels = test[: arguments.count], made.test_labels[: arguments.count]
    again = reconstructions(model, images, labels)
    error = float((again - images).square().mean())
    if isinstance(made, data.TableData):
        target = _target(arguments, folder, "reconstructions.csv")
        write_whole(target, made.restore(again).to_csv(index=False).encode())
    else:
        target = _target(arguments, folder, "reconstructions.png")
        write_whole(target, fast_png(grid(beside(images, again))))
    return f"{target}: {len(images)} of the test set, mean squared error {error:.4g}"


@_told
def _examine(arguments: argparse.Namespace) -> str:
    model, card, folder = _opened(arguments)
    made = _data_of(arguments, model, card)
    log = folder / "log.csv" if folder else None
    history = History.from_csv(log) if log and log.is_file() else None
    report = examination(model, made, history)
    if report is None:
        why = "models without labels; this one is conditional"
        if not isinstance(model, ConditionalVAE):
            why = f"{_FEWEST} training images or more; here are {len(_parts(made)[0])}"
        raise ValueError(f"the clinic examines {why}")
    target = report.save(_target(arguments, folder, "examination.html"))
    return f"{report!r}\n{target}"
