r"""Has anything been replaced? A picture of modules and classes, to compare with a later one."""

from __future__ import annotations

import sys
import types
from typing import Any

WATCHED = (
    "builtins",
    "math",
    "cmath",
    "random",
    "os",
    "numpy",
    "numpy.testing",
    "torch",
    "torch.nn",
    "torch.nn.functional",
    "torch.linalg",
    "torch.special",
    "torch.testing",
    "torch.random",
    "torch.autograd",
    "torch.distributions.kl",
    "torch._tensor",
    "torch._C._nn",
)
Picture = dict[str, dict[str, tuple[Any, Any, Any]]]


def take() -> Picture:
    r"""Every watched module, and the classes of the course, of tensors, layers, distributions."""
    import torch

    course = [n for n in sys.modules if n == "vae_course" or n.startswith("vae_course.")]
    picture = {}
    for name in (*WATCHED, *course):
        module = sys.modules.get(name)
        if module is None or name.startswith("vae_course.teach"):
            continue
        picture[name] = _entries(module)
        if name.startswith("vae_course"):
            for key, value in vars(module).items():
                if isinstance(value, type) and value.__module__ == name:
                    picture[f"{name}.{key}"] = _entries(value)
    holders = [vars(module).values() for module in (torch.nn, torch.optim, torch.distributions)]
    classes = {each for values in holders for each in values if isinstance(each, type)}
    for each in {torch.Tensor, torch.Generator, *classes}:
        entries = _entries(each)
        if issubclass(each, torch.optim.Optimizer):
            entries.pop("step", None)  # torch itself wraps it when the first one is made
        picture[f"{each.__module__}.{each.__name__}"] = entries
    return picture


def _entries(holder: Any) -> dict[str, tuple[Any, Any, Any]]:
    r"""Of a module its names; of a class what each attribute leads to, inherited ones too."""
    bases = holder.__mro__[-2::-1] if isinstance(holder, type) else [holder]
    return {key: _entry(value) for base in bases for key, value in list(vars(base).items())}


def _entry(value: Any) -> tuple[Any, Any, Any]:
    r"""The object, kept so that its identity stays its own, and what can change inside it."""
    if isinstance(value, types.FunctionType):
        return value, value.__code__, (value.__defaults__, id(value.__kwdefaults__))
    return value, None, None


def changed(before: Picture) -> list[str]:
    r"""The names of what is no longer what it was. New names are no harm: only replaced ones."""
    now, found = take(), []
    for holder, entries in before.items():
        current = now.get(holder, {})
        for key, (value, code, inside) in entries.items():
            if key in _MOVING:
                continue
            later = current.get(key, (None, None, None))
            if later[0] is not value or later[1] is not code or later[2] != inside:
                found.append(f"{holder}.{key}")
    return found


_MOVING = {"__warningregistry__", "_", "__builtins__", "__conditional_annotations__"}
