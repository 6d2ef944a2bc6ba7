r"""Trained models: weights as safetensors with a JSON model card beside them, never a pickle."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from torch import Tensor, nn

from vae_course.files import DataError, package_data

if TYPE_CHECKING:
    from vae_course.gan import Generator
    from vae_course.gpt import CharGPT, CharTokenizer
    from vae_course.models import VAE, ConditionalVAE
    from vae_course.training.history import History

Model = TypeVar("Model", bound=nn.Module)


def load_gpt(path: str | Path) -> tuple[CharGPT, CharTokenizer, dict]:
    r"""A trained GPT in eval mode, its tokenizer and its model card.

    path: a name that ships with the course, such as "gpt-shakespeare-hour", or the path of a
        file NAME.safetensors that `vae-course train --model gpt` wrote, with NAME.json beside it.
    Weights stored as float16 are loaded as float32.
    Raises: DataError, with what to do, if the files are missing or don't fit each other.
    """
    from vae_course.gpt import CharGPT, CharTokenizer

    model, card = _load(path, lambda card: CharGPT(**card["architecture"]))
    try:
        return model, CharTokenizer(card["characters"]), card
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"The card of {path} lists no characters ({error!r})") from None


def load_vae(path: str | Path) -> tuple[VAE | ConditionalVAE, dict]:
    r"""A trained VAE in eval mode and its model card.

    path: a name that ships with the course, such as "vae-conv", or the path of a file
        NAME.safetensors that `vae-course train --model conv-vae` wrote, with NAME.json beside it.
    Raises: DataError, with what to do, if the files are missing or don't fit each other.
    """
    from vae_course.models import build_vae

    return _load(path, lambda card: build_vae(**card["architecture"]))


def load_gan(path: str | Path) -> tuple[Generator, dict]:
    r"""A trained generator in eval mode and its model card.

    path: a name that ships with the course, such as "gan-stable", or the path of a file
        NAME.safetensors that `benchmarks/gan_comparison.py` wrote, with NAME.json beside it.
    Raises: DataError, with what to do, if the files are missing or don't fit each other.
    """
    from vae_course.gan import Generator

    return _load(path, lambda card: Generator.conv(**card["architecture"]))


def load_log(name: str) -> History:
    r"""The log of a training whose weights ship with the course, such as "vae-conv".

    Raises: DataError if the course has no such log.
    """
    from vae_course.training.history import History

    return History.from_csv(package_data(f"runs/{name}.csv"))


def _load(path: str | Path, build: Callable[[dict], Model]) -> tuple[Model, dict]:
    import safetensors
    from safetensors.torch import load_file

    path = Path(path).expanduser()
    if path.parent == Path() and path.suffix != ".safetensors":
        path = package_data(f"pretrained/{path.name}.safetensors")
    card_path = path.with_suffix(".json")
    for file in (path, card_path):
        if not file.is_file():
            raise DataError(f"There is no file {file}: check the path, or train the model again.")
    try:
        card = json.loads(card_path.read_text(encoding="utf-8"))
        model = build(card)
        weights: dict[str, Tensor] = load_file(path)
        model.load_state_dict({name: weight.float() for name, weight in weights.items()})
    except (safetensors.SafetensorError, KeyError, TypeError, ValueError, RuntimeError) as error:
        first = " ".join(str(error).split())[:200]
        raise DataError(
            f"{path} and {card_path.name} are damaged or don't belong together ({first}): fetch "
            "both again, or train the model again."
        ) from None
    return model.eval(), card
