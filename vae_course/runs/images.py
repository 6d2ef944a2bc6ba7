r"""What a long run of images is trained on: a set by its name, or a folder or file of your own."""

from __future__ import annotations

import ast
import inspect
import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from vae_course import data, metrics
from vae_course.files import own_path
from vae_course.training.resume import fingerprint


class Images:
    r"""Images, or the rows of a table, and their labels, in batches.

    dataset: a name that `data.load_images` knows, a folder of pictures, an array (.npy, .npz) or a
        table (.csv); size: the side of the pictures of a folder, 0 as they are
    loading: further arguments of the loader, as one writes them: "channels=3"
    Raises: ValueError if a batch is larger than the set; DataError if it can't be had.
    """

    def __init__(self, dataset: str, batch_size: int, *, size: int = 0, loading: str = ""):
        self.data, self.batch_size = load(dataset, size, loading), batch_size
        part = "rows" if isinstance(self.data, data.TableData) else "images"
        self.train, self.test = (getattr(self.data, f"{name}_{part}") for name in ("train", "test"))
        self.train_labels, self.test_labels = self.data.train_labels, self.data.test_labels
        if batch_size > len(self.train):
            raise ValueError(
                f"a batch of {batch_size} is more than the {len(self.train):,} training {part}: "
                "choose a smaller --batch-size"
            )
        self.identity = fingerprint(self.train, self.train_labels)
        self.steps = len(self.train) // batch_size  # whole batches; the rest differs in each epoch
        self.card = {
            "name": dataset, "source": self.data.source, "fingerprint": self.identity,
            f"training_{part}": len(self.train), f"test_{part}": len(self.test),
        }  # fmt: skip

    def to(self, device: torch.device) -> None:
        for name in ("train", "test", "train_labels", "test_labels"):
            setattr(self, name, getattr(self, name).to(device))

    def batches(self, generator: torch.Generator) -> Iterator[tuple[Tensor, Tensor]]:
        r"""Whole batches of (images, labels), once through."""
        order = torch.randperm(len(self.train), generator=generator).to(self.train.device)
        for rows in order[: self.steps * self.batch_size].split(self.batch_size):
            yield self.train[rows], self.train_labels[rows]

    @torch.no_grad()
    def held_out(self, objective: nn.Module) -> dict[str, float]:
        r"""The objective's averages over the test set, in batches no larger than training's."""
        totals: dict[str, float] = {}
        parts = self.test.split(self.batch_size), self.test_labels.split(self.batch_size)
        for image, label in zip(*parts, strict=True):
            for name, value in objective(image, label).items():
                totals[name] = totals.get(name, 0.0) + len(image) * float(value)
        return {f"test_{name}": total / len(self.test) for name, total in totals.items()}


def up_and_down(step: int, steps: int) -> float:
    r"""A schedule's share of the learning rate: up in 200 steps, in short runs in a tenth of all;
    then a cosine down to 0.
    """
    warm_up = min(200, steps // 10 + 1)
    return min(1.0, (step + 1) / warm_up) * 0.5 * (1 + math.cos(math.pi * step / steps))


def load(dataset: str, size: int = 0, loading: str = "") -> data.ImageData | data.TableData:
    r"""A set by its name, or a folder or file by the loader that fits.

    loading: further arguments of that loader, as one writes them: "channels=3"
    Raises: ValueError, DataError with what to do if there is no such set, folder or file.
    """
    path, options = own_path(dataset), _arguments(loading)
    if dataset in data.IMAGE_SETS or not path.exists():
        if options:
            raise ValueError(f"--loading is for folders and files; {dataset!r} is neither")
        return data.load_images(dataset)
    if path.is_dir():
        options = {"size": size} | options if size else options
        loader = data.load_folder
    elif path.suffix.lower() in (".csv", ".tsv"):
        loader = data.load_table
    else:
        loader = data.load_array
    known = inspect.signature(loader).parameters
    if unknown := [name for name in options if name not in known or name in ("path", "source")]:
        listed = ", ".join(name for name in known if name not in ("path", "source"))
        raise ValueError(f"{loader.__name__} has no argument {unknown[0]!r}; it has {listed}")
    return loader(path, **options)


def _arguments(text: str) -> dict[str, object]:
    r"""The keyword arguments in a text such as "channels=3, labels=False". Raises: ValueError."""
    try:
        call = ast.parse(f"f({text})", mode="eval").body
        if isinstance(call, ast.Call) and not call.args:
            return {str(word.arg): ast.literal_eval(word.value) for word in call.keywords}
    except (SyntaxError, ValueError):
        pass
    raise ValueError(
        f"--loading is {text!r}; expected the loader's arguments, such as "
        "'channels=3, skip_unreadable=True'"
    )


def can_be_judged(images: data.ImageData) -> bool:
    r"""Whether they are grey digits, which notebook 06b's classifier can read."""
    return images.image_shape == (1, 28, 28) and "mnist" in images.name


def judged(samples: Tensor, labels: Tensor, images: data.ImageData) -> dict[str, object]:
    r"""What notebook 06b measures of samples, for a card, if `can_be_judged`.

    samples: as many as were drawn, the labels that they were asked for beside them
    """
    samples, labels = samples.cpu(), labels.cpu()
    held_out = images.test_images.cpu()
    report = metrics.sample_report(samples, held_out, images.train_images.cpu())
    found: dict[str, object] = {
        name: {key: round(value, 4) for key, value in estimate._asdict().items()}
        for name, estimate in report.items()
    }
    asked = (metrics.classify(samples).argmax(dim=1) == labels).double().mean().item()
    counts = metrics.class_histogram(samples).counts.tolist()
    return {
        "samples": len(samples), "read_as_asked": round(asked, 4), "class_counts": counts,
        "sample_report": found,
    }  # fmt: skip
