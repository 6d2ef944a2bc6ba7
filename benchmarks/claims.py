r"""How far the claims of a notebook are from failing: each comparison in an `assert`, measured.

`instrument(source)` rewrites the asserts of a cell, and nothing else: `assert 0.1 < error < 0.2`
calls `__claim__`, which compares as Python does, each side evaluated once and in order, and notes
0.2 − error and error − 0.1. `Recorder` is that function, in the notebook's kernel.

Measured are comparisons that have to hold: joined by `and`, inside `all(… for …)`, and of tensors
under `.all()` (the element nearest to the limit) or `.any()` (the farthest). Claims without a
distance (`==`, `in`, `torch.equal`, words) count as exact and are left as they are.
"""

from __future__ import annotations

import ast
import builtins
import math
from collections.abc import Callable

SIGNS = {ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">="}
MOST_TIMES = 500  # a comparison in a loop: notes of one run


def instrument(source: str, cell: int = 0) -> tuple[str, dict[str, str], int]:
    r"""The cell with its claims measured, the text of each comparison, the number of exact claims.

    A comparison's name is "cell.assert.comparison", the latter two counted from 0 in the cell.
    Raises: SyntaxError if the source is not plain Python.
    """
    lines = source.encode().splitlines(keepends=True)
    texts: dict[str, str] = {}
    exact = 0
    asserts = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Assert)]
    asserts.sort(key=lambda node: (node.lineno, node.col_offset))
    replaced = []
    for number, node in enumerate(asserts):
        known = len(texts)
        node.test = _Rewriter(f"{cell}.{number}", texts).rewrite(node.test)
        exact += len(texts) == known
        replaced.append((node, ast.unparse(ast.fix_missing_locations(node))))
    for node, text in reversed(replaced):  # from the end, so that positions before it still hold
        first, last = node.lineno - 1, node.end_lineno - 1
        before, after = lines[first][: node.col_offset], lines[last][node.end_col_offset :]
        lines[first : last + 1] = [before + text.encode() + after]
    return b"".join(lines).decode(), texts, exact


class _Rewriter:
    r"""Wraps the comparisons of one assert; `texts` collects what they said."""

    def __init__(self, number: str, texts: dict[str, str]):
        self.number, self.texts = number, texts

    def rewrite(self, node: ast.expr, *, over: str = "", either: bool = False) -> ast.expr:
        r"""over: "all" or "any", a reduction of a tensor; either: one side of an `or`."""
        match node:
            case ast.BoolOp(op=op, values=values):
                one_of = either or isinstance(op, ast.Or)
                node.values = [self.rewrite(value, over=over, either=one_of) for value in values]
            case ast.BinOp(left=left, op=ast.BitAnd(), right=right):
                node.left = self.rewrite(left, over=over, either=either)
                node.right = self.rewrite(right, over=over, either=either)
            case ast.Call(func=ast.Attribute(value=inner, attr="all" | "any" as name), args=[]):
                node.func.value = self.rewrite(inner, over=name, either=either)
            case ast.Call(
                func=ast.Name(id="all"), args=[ast.GeneratorExp() | ast.ListComp() as loop]
            ):
                loop.elt = self.rewrite(loop.elt, over=over, either=either)
            case ast.Compare(ops=ops) if all(type(op) in SIGNS for op in ops):
                return self._measured(node, over, either)
        return node

    def _measured(self, node: ast.Compare, over: str, either: bool) -> ast.expr:
        name = f"{self.number}.{sum(key.startswith(f'{self.number}.') for key in self.texts)}"
        self.texts[name] = ast.unparse(node)
        nothing = ast.arguments(posonlyargs=[], args=[], kwonlyargs=[], kw_defaults=[], defaults=[])
        sides = [ast.Lambda(nothing, side) for side in (node.left, *node.comparators)]
        signs = " ".join(SIGNS[type(op)] for op in node.ops)
        settings = [ast.Constant(value) for value in (name, signs, over, either)]
        return ast.Call(ast.Name("__claim__", ast.Load()), [*settings, *sides], [])


class Recorder:
    r"""What `__claim__` does in the kernel: compares, and notes the margins under its name."""

    def __init__(self) -> None:
        self.margins: dict[str, list[list[float]]] = {}

    def install(self) -> None:
        builtins.__claim__ = self

    def __call__(self, name: str, signs: str, over: str, either: bool, *sides: Callable) -> object:
        r"""The comparison's value, as Python gives it: later sides only while it holds."""
        right, margins, value = sides[0](), [], True
        for sign, side in zip(signs.split(), sides[1:], strict=True):
            left, right = right, side()
            smaller, larger = (left, right) if sign in ("<", "<=") else (right, left)
            match sign:
                case "<":
                    value = left < right
                case "<=":
                    value = left <= right
                case ">":
                    value = left > right
                case _:
                    value = left >= right
            margins.append(_distance(smaller, larger, over))
            if len(signs.split()) > 1 and not value:
                break
        known = [margin for margin in margins if margin is not None]
        if known and not (either and min(known) <= 0):  # an `or` holds by its other side then
            notes = self.margins.setdefault(name, [])
            if len(notes) < MOST_TIMES:
                notes.append(margins)
        return value


def _distance(smaller: object, larger: object, over: str) -> float | None:
    r"""larger − smaller as one number, None where there is none."""
    try:
        difference = larger - smaller
        if over:
            difference = difference.max() if over == "any" else difference.min()
        found = float(difference)
    except (TypeError, ValueError, AttributeError, RuntimeError):
        return None
    return found if math.isfinite(found) else None


def shift_first_gradients(seed: int, size: float = 1e-6) -> None:
    r"""From now on the first gradient of every new optimizer is off by about a millionth.

    That is what another processor's order of summation does, and a training makes of it what it
    does of that. An optimizer that goes on from a checkpoint is left alone, and equal trainings
    stay equal: the shift depends on `seed` and the shapes only, and torch's random numbers go on
    as if nothing was.
    """
    import torch
    from torch.optim.optimizer import register_optimizer_step_pre_hook

    def shift(optimizer, args, kwargs):
        if getattr(optimizer, "_shifted", False):
            return
        optimizer._shifted = True
        if optimizer.state:
            return
        generator = torch.Generator().manual_seed(seed)
        for group in optimizer.param_groups:
            for weight in group["params"]:
                if weight.grad is not None:
                    noise = torch.randn(weight.shape, generator=generator)
                    weight.grad.mul_((1 + size * noise).to(weight.grad))

    register_optimizer_step_pre_hook(shift)


def change_text(number: int) -> None:
    r"""From now on "python-docs" lacks its first 5,000 · `number` characters.

    Every Python brings another text: a claim must hold on all of them.
    """
    from vae_course.data import text

    whole = text._python_docs()
    text._python_docs = lambda: whole[5000 * number :]
