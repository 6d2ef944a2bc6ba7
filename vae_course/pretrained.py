r"""Trained models: weights as safetensors with a JSON model card beside them, never a pickle.

The one writer of cards is `save`, the one reader `load`: for the models that ship, for those that
`vae-course train` leaves, for the checkpoints of `fit`, and for weights of your own.
"""

from __future__ import annotations

import csv
import json
import platform
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from vae_course.files import DataError, package_data, write_whole
from vae_course.training import History

if TYPE_CHECKING:
    from vae_course.gan import Generator
    from vae_course.gpt import CharGPT, CharTokenizer
    from vae_course.models import VAE, ConditionalVAE


def save(
    path: str | Path,
    model: nn.Module,
    *,
    kind: str = "",
    architecture: Mapping[str, object] | None = None,
    dtype: str = "float32",
    **more: object,
) -> dict:
    r"""Write weights to NAME.safetensors and the model card to NAME.json; returns the card.

    The model is left with the weights as stored, so that what you measure then is true of the file.
    kind: what `load` makes the model from, with `architecture`: a class of the course such as
        "VAE", by default the model's own class
    dtype: of the stored weights, "float32" or "float16"; whole numbers stay what they are
    more: what else the card says: data, protocol, commands, measured, …
    Raises: OSError if the files can't be written.
    """
    from safetensors.torch import save as to_bytes

    path = _named(path)
    stored = {}
    for name, value in model.state_dict().items():
        kept = getattr(torch, dtype) if value.is_floating_point() else value.dtype
        stored[name] = value.detach().cpu().to(kept).contiguous().clone()
    model.load_state_dict(stored)
    content = to_bytes(stored)
    card = {
        "kind": kind or type(model).__name__,
        "architecture": dict(architecture or {}),
        "parameters": sum(p.numel() for p in model.parameters()),  # frozen ones too
        "weights": {"dtype": dtype, "bytes": len(content)},
        **more,
        "versions": {"python": platform.python_version(), "torch": torch.__version__},
        "licence": "MIT",
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, content)
    write_card(path, card)
    return card


def write_card(path: str | Path, card: Mapping[str, object]) -> None:
    r"""Write a card anew beside its weights, once more has been measured."""
    text = json.dumps(card, indent=1, ensure_ascii=False) + "\n"
    write_whole(_named(path).with_suffix(".json"), text.encode())


def load(
    name: str | Path, model: nn.Module | Callable[[dict], nn.Module] | None = None
) -> tuple[nn.Module, dict]:
    r"""A trained model in eval mode, and its model card.

    name: of a model that ships with the course, such as "vae-conv"; or the path of a file
        NAME.safetensors: what `save` or `vae-course train` wrote, a checkpoint of
        `fit(checkpoint=…)`, or a state_dict of your own, stored by safetensors.torch.save_file
    model: the network that the weights belong into, or a function that makes it from the card. A
        model of the course is made from its card; other files need it.
    Weights stored as float16 are loaded as float32. Files of wrapped models (torch.compile,
    DataParallel) fit the plain ones.
    Raises: DataError, with what to do, if a file is missing or doesn't fit the model.
    """
    path = _found(name)
    weights, checkpoint = _weights(path)
    card = {} if checkpoint else _card(path, needed=model is None)
    make = BUILDERS.get(kind_of(card)) if model is None else model
    if make is None:
        raise DataError(
            f"{path} has no card that says how to make the model: pass it, "
            "load(path, model=the network)"
        )
    try:
        network = make if isinstance(make, nn.Module) else make(card)
        floats = {n: v.float() if v.is_floating_point() else v for n, v in weights.items()}
        network.load_state_dict(floats)
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        first = " ".join(str(error).split())[:200]
        raise DataError(
            f"{path} and {path.with_suffix('.json').name if card else 'the model'} don't belong "
            f"together, or are damaged ({first}): fetch both again, or train the model again."
        ) from None
    return network.eval(), card


def kind_of(card: Mapping[str, object]) -> str:
    r"""The class of a card's model; older cards say it at the start of a sentence."""
    words = str(card.get("kind") or card.get("model") or "").replace(",", " ").split()
    return words[0] if words else ""


def load_vae(name: str | Path) -> tuple[VAE | ConditionalVAE, dict]:
    r"""A trained VAE and its card. See `load`; raises DataError for a model of another kind."""
    return _load_kind(name, "VAE", "ConditionalVAE")


def load_gan(name: str | Path) -> tuple[Generator, dict]:
    r"""A trained generator and its card. See `load`; raises DataError for another kind."""
    return _load_kind(name, "Generator")


def load_gpt(name: str | Path) -> tuple[CharGPT, CharTokenizer, dict]:
    r"""A trained GPT, its tokenizer and its card. See `load`; raises DataError for another kind."""
    from vae_course.gpt import CharTokenizer

    model, card = _load_kind(name, "CharGPT")
    try:
        return model, CharTokenizer(card["characters"]), card
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"The card of {name} lists no characters ({error!r})") from None


def load_log(name: str) -> History:
    r"""The log of a training whose weights ship with the course, such as "vae-conv".

    Raises: DataError if the course has no such log.
    """
    return History.from_csv(package_data(f"runs/{name}.csv"))


def load_results(name: str) -> list[dict[str, float | str | None]]:
    r"""A table of measured results that ships with the course, a dictionary a row.

    name: such as "beta-sweep", "seeds-01-sizes"
    What is a number there is a float, an empty place None, all else a str.
    Raises: DataError if the course has no such table.
    """
    with package_data(f"runs/{name}.csv").open(newline="", encoding="utf-8") as file:
        return [{key: _value(text) for key, text in row.items()} for row in csv.DictReader(file)]


def _value(text: str) -> float | str | None:
    try:
        return float(text) if text else None
    except ValueError:
        return text


def load_opening(chapter: str) -> dict[str, Tensor]:
    r"""What a notebook's first picture shows of a training that comes later in it, such as "03".

    The notebook trains the same again where it is needed, and compares. Pictures are pixels from
    0 to 1, all numbers float32. `python -m benchmarks.openings` makes the files.

    Raises: DataError if the course has no such file.
    """
    from safetensors.torch import load_file

    stored = load_file(package_data(f"openings/{chapter}.safetensors"))
    return {name: values.float() for name, values in stored.items()}


def _load_kind(name: str | Path, *kinds: str) -> tuple[nn.Module, dict]:
    card = _card(_found(name), needed=True)
    if kind_of(card) not in kinds:
        raise DataError(f"{name} holds a {kind_of(card) or 'model of no kind'}, not a {kinds[0]}.")
    return load(name)


def _vae(card: dict) -> nn.Module:
    from vae_course.models import build_vae

    return build_vae(**card["architecture"])


def _generator(card: dict) -> nn.Module:
    from vae_course.gan import Generator

    return Generator.conv(**card["architecture"])


def _gpt(card: dict) -> nn.Module:
    from vae_course.gpt import CharGPT

    return CharGPT(**card["architecture"])


def _vqvae(card: dict) -> nn.Module:
    from vae_course.vq import VQVAE

    return VQVAE(**card["architecture"])


def _diffusion(card: dict) -> nn.Module:
    from vae_course.diffusion import Diffusion

    return Diffusion.unet(**card["architecture"])


def _latent_diffusion(card: dict) -> nn.Module:
    from vae_course.diffusion import LatentDiffusion

    rest = dict(card["architecture"])
    vae, _ = load(rest.pop("vae"))
    return LatentDiffusion(vae, **rest)


BUILDERS: dict[str, Callable[[dict], nn.Module]] = {
    "VAE": _vae, "ConditionalVAE": _vae, "TwoLevelVAE": _vae, "Generator": _generator,
    "CharGPT": _gpt,
    "VQVAE": _vqvae, "Diffusion": _diffusion, "LatentDiffusion": _latent_diffusion,
}  # fmt: skip


def _named(path: str | Path) -> Path:
    path = Path(path).expanduser()
    return path if path.suffix == ".safetensors" else path.with_name(f"{path.name}.safetensors")


def _found(name: str | Path) -> Path:
    path = Path(name).expanduser()
    if path.suffix in (".pt", ".pth", ".ckpt", ".bin"):
        raise DataError(
            f"{path} may hold a pickle, which can run code: store its weights once by "
            "safetensors.torch.save_file(torch.load(path, weights_only=True), 'mine.safetensors')"
        )
    if path.parent == Path() and path.suffix != ".safetensors":
        return package_data(f"pretrained/{path.name}.safetensors")
    if not path.is_file():
        raise DataError(f"There is no file {path}: check the path, or train the model again.")
    return path


def _weights(path: Path) -> tuple[dict[str, Tensor], bool]:
    r"""A file's weights by the names of the plain model; and whether it is a checkpoint."""
    import safetensors
    from safetensors.torch import load_file

    try:
        weights = load_file(path)
    except safetensors.SafetensorError as error:
        raise DataError(f"{path} is damaged ({error}): fetch it, or train it, again.") from None
    checkpoint = "random/cpu" in weights
    if checkpoint:
        weights = {n: v for n, v in weights.items() if n.startswith("model/")}
    for wrapper in ("model/", "module.", "_orig_mod."):
        if weights and all(name.startswith(wrapper) for name in weights):
            weights = {name.removeprefix(wrapper): value for name, value in weights.items()}
    return weights, checkpoint


def _card(path: Path, *, needed: bool) -> dict:
    card_path = path.with_suffix(".json")
    if not card_path.is_file() and not needed:
        return {}
    try:
        return json.loads(card_path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataError(
            f"There is no file {card_path}, the model card: fetch it too, or say what the weights "
            "belong into, pretrained.load(path, model=…)"
        ) from None
    except ValueError as error:
        raise DataError(f"{card_path} is damaged ({error}): fetch it again.") from None
