r"""Trained models: weights as safetensors with a JSON model card beside them, never a pickle."""

from __future__ import annotations

import json
from pathlib import Path

from vae_course._files import DataError, package_data
from vae_course.gpt import CharGPT, CharTokenizer


def load_gpt(path: str | Path) -> tuple[CharGPT, CharTokenizer, dict]:
    r"""A trained GPT in eval mode, its tokenizer and its model card.

    path: a name that ships with the course, such as "gpt-shakespeare-hour", or the path of a
        file NAME.safetensors that `vae-course train --model gpt` wrote, with NAME.json beside it.
    Weights stored as float16 are loaded as float32.
    Raises: DataError, with what to do, if the files are missing or don't fit each other.
    """
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
        model = CharGPT(**card["architecture"])
        weights = load_file(path)
        model.load_state_dict({name: weight.float() for name, weight in weights.items()})
        tokenizer = CharTokenizer(card["characters"])
    except (safetensors.SafetensorError, KeyError, TypeError, ValueError, RuntimeError) as error:
        first = " ".join(str(error).split())[:200]
        raise DataError(
            f"{path} and {card_path.name} are damaged or don't belong together ({first}): fetch "
            "both again, or train the model again."
        ) from None
    return model.eval(), tokenizer, card
