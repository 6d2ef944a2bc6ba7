r"""From what a function did to a verdict: right, a known mistake, or the pattern of the error."""

import itertools
import math
from collections.abc import Callable

import torch

from . import _run as run
from ._exercise import Exercise
from ._verdict import Verdict


def judge(exercise: Exercise, function: Callable, seed: int) -> Verdict:
    seeds = [seed + index for index in range(exercise.cases)]
    try:
        outcomes = [run.run(exercise, function, s, quiet=s != seed) for s in seeds]
    except run.NotAttempted:
        return Verdict(exercise.name, "not attempted", hint=_NOT_ATTEMPTED)
    expected = [run.run(exercise, exercise.reference, s) for s in seeds]
    for outcome in expected:
        if outcome.error is not None:
            raise outcome.error
    if all(map(_agree, outcomes, expected, itertools.repeat(exercise))):
        return _judge_beyond_values(exercise, function, outcomes)
    known = _recognise(exercise, outcomes, seeds)
    example = _example(exercise, outcomes, expected)
    raised = next((outcome for outcome in outcomes if outcome.error is not None), None)
    status = "wrong" if raised is None else "error"
    if known:
        mistake = "+".join(m.name for m in known[0])
        ways = ["\nAnd a second slip: ".join(m.hint for m in found) for found in known]
        hint = "\nOr, which looks the same from outside: ".join(ways)
        return Verdict(exercise.name, status, mistake, hint, example)
    if raised is not None:
        return Verdict(exercise.name, "error", None, _explain_error(exercise, raised))
    return Verdict(
        exercise.name, "wrong", None, _explain(exercise, function, outcomes, expected), example
    )


_NOT_ATTEMPTED = (
    "Replace the `...` with your own lines. (Done already? Then a `return` is missing.)"
)


def _agree(got: run.Outcome, expected: run.Outcome, exercise: Exercise) -> bool:
    if got.error is not None or expected.error is not None:
        return type(got.error) is type(expected.error) and (
            run.message(got.error) == run.message(expected.error)
        )
    tolerance = {"rtol": exercise.rtol, "atol": exercise.atol}
    return got.fields.keys() == expected.fields.keys() and all(
        run.same(got.fields[key], expected.fields[key], **tolerance) for key in expected.fields
    )


def _judge_beyond_values(exercise: Exercise, function: Callable, outcomes) -> Verdict:
    edited = sorted({name for outcome in outcomes for name in outcome.edited})
    if edited:
        hint = (
            f"The values are right, but your function changed its argument {', '.join(edited)} in "
            "place: the caller's data is different afterwards. Work on a new tensor "
            "(x = x - m instead of x -= m)."
        )
        return Verdict(exercise.name, "wrong", "edits-its-input", hint)
    broken = _broken_properties(exercise, function)
    if broken:
        hint = " Also: ".join(p.hint for p in broken)
        return Verdict(exercise.name, "wrong", broken[0].name, hint)
    return Verdict(exercise.name, "passed", hint=f"Right on {len(outcomes)} fresh random inputs.")


def _broken_properties(exercise: Exercise, function: Callable) -> list:
    broken = []
    for each in exercise.properties:
        try:
            holds = each.holds(function)
        except (Exception, SystemExit):
            holds = False
        if not holds:
            broken.append(each)
    return broken


def _recognise(exercise: Exercise, outcomes: list[run.Outcome], seeds: list[int]) -> list[tuple]:
    r"""The single mistakes that do exactly what the student's function does; else the pairs."""

    def matches(names: tuple[str, ...]) -> bool:
        wrong = exercise.with_slips(*names)
        return all(
            _agree(outcome, run.run(exercise, wrong, seed), exercise)
            for outcome, seed in zip(outcomes, seeds, strict=True)
        )

    singles = [(m,) for m in exercise.mistakes if matches((m.name,))]
    if singles:
        return singles
    slips = [m for m in exercise.mistakes if m.alone is None]
    pairs = itertools.combinations(slips, 2)
    return [pair for pair in pairs if matches(tuple(m.name for m in pair))][:2]


def _example(exercise: Exercise, outcomes, expected) -> str:
    r"""The first case that differs, as three short lines."""
    for got, want in zip(outcomes, expected, strict=True):
        if not _agree(got, want, exercise):
            break
    lines = [f"for {_inputs(exercise, got.args)}"]
    if got.error is None:
        for key, right in want.fields.items():
            mine = got.fields.get(key)
            if not run.same(mine, right, rtol=exercise.rtol, atol=exercise.atol):
                label = "" if key == "value" else f" ({key.replace('_', ' ')})"
                lines += [f"  expected{label}: {_short(right)}", f"  got{label}: {_short(mine)}"]
                break
    return "\n".join(lines) if len(lines) > 1 else ""


def _inputs(exercise: Exercise, args: tuple) -> str:
    names = exercise.reference.__code__.co_varnames
    return ", ".join(
        f"{name} {tuple(arg.shape)}"
        if isinstance(arg, torch.Tensor) and arg.dim()
        else f"{name} = {arg:.4g}"
        if isinstance(arg, float)
        else f"{name} = {arg!r}"
        if isinstance(arg, int | str | tuple)
        else name
        for name, arg in zip(names, args, strict=False)
    )


def _short(value) -> str:
    try:
        return _shown(value)
    except Exception:  # a student's own object, whose __repr__ fails
        return run.describe(value)


def _shown(value) -> str:
    if isinstance(value, torch.Tensor) and value.dim():
        flat = value.detach().flatten()[:4].tolist()
        first = ", ".join(f"{x:.4g}" if isinstance(x, float) else str(x) for x in flat)
        more = ", …" if value.numel() > 4 else ""
        return f"{first}{more}   (shape {tuple(value.shape)})"
    if isinstance(value, torch.Tensor | float):
        return f"{float(value):.4g}"
    return repr(value)[:60]


def _explain_error(exercise: Exercise, outcome: run.Outcome) -> str:
    error = outcome.error
    text = run.message(error)
    line = run.where(error)
    place = f" (in {line})" if line else ""
    return f"{type(error).__name__}{place}: {text}\n{_likely_cause(exercise, outcome)}"


def _likely_cause(exercise: Exercise, outcome: run.Outcome) -> str:
    error, text = outcome.error, run.message(outcome.error)
    shapes = f"The arguments were {_inputs(exercise, outcome.args)}."
    if isinstance(error, NameError):
        return "A name is not defined: run the cells above, or look for a typing error."
    if isinstance(error, TypeError) and "argument" in text and "positional" in text:
        return f"The signature is fixed: {exercise.signature}."
    if isinstance(error, AttributeError):
        return f"That object has no such method. {shapes}"
    if isinstance(error, SystemExit):
        return "Return the value; do not exit."
    if "does not require grad" in text:
        return (
            "The loss has no gradient to send back: look for `.detach()`, `.item()` or "
            f"`torch.no_grad()` between the weights and the loss. {shapes}"
        )
    if "to satisfy the constraint" in text:
        return f"A distribution got a parameter it can't have: a std must be positive. {shapes}"
    if any(word in text for word in ("must match", "shape", "size", "dimension", "multiplied")):
        return f"Two shapes do not fit together. {shapes}"
    return shapes


def _explain(exercise: Exercise, function: Callable, outcomes, expected) -> str:
    r"""A hint for a slip that nobody listed: wrong kind, NaN, a pattern, a property, a field."""
    for got, want in zip(outcomes, expected, strict=True):
        for key, right in want.fields.items():
            problem = run.misfit(got.fields.get(key), right)
            if problem:
                field = "" if key == "value" else f"For {key.replace('_', ' ')}, "
                sentence = f"{field}{problem}. It should be: {exercise.returns}."
                return sentence[0].upper() + sentence[1:]
    parts = []
    different = [
        key
        for key in expected[0].fields
        if any(
            not run.same(g.fields[key], w.fields[key], rtol=exercise.rtol, atol=exercise.atol)
            for g, w in zip(outcomes, expected, strict=True)
        )
    ]
    if exercise.explain and different[0] in exercise.explain:
        parts.append(exercise.explain[different[0]])
    if different == ["value"]:
        parts.append(_pattern(exercise, outcomes, expected))
    parts += [p.hint for p in _broken_properties(exercise, function)[:1]]
    parts = [part for part in parts if part]
    return " ".join(parts) or f"The values differ. It should be: {exercise.returns}."


def _pattern(exercise: Exercise, outcomes, expected) -> str:
    r"""What the wrong values have in common over all cases: a factor, an offset, a function."""
    pairs = []
    for got, want in zip(outcomes, expected, strict=True):
        pairs.append([_flat(side.fields["value"]) for side in (got, want)])
    if any(mine.isnan().any() for mine, _ in pairs):
        return "Some values are NaN: a logarithm or root of a negative number, or 0 / 0."
    if any(mine.isinf().any() for mine, _ in pairs):
        return "Some values are infinite: a division by 0, log(0), or an exp that is too large."
    first = pairs[0][0]
    if all(len(mine) == len(first) and _close(mine, first) for mine, _ in pairs):
        return f"The same answer came back for every input ({_short(first)}): is it hard-coded?"
    for sentence, change in _TRANSFORMS:
        if all(_close(mine, change(right)) for mine, right in pairs):
            return sentence
    if all(_close(mine.sort().values, right.sort().values) for mine, right in pairs):
        return "The right numbers, in the wrong order: an axis or the order of the result is off."
    named = [
        (f"the size {name}", [size for size in sizes]) for name, sizes in _sizes(exercise, outcomes)
    ]
    for what, sizes in named:
        for verb, power in (("too large", 1), ("too small", -1)):
            if all(_close(m, r * size**power) for (m, r), size in zip(pairs, sizes, strict=True)):
                return (
                    f"Every value is {verb} by a factor of {what}: summed where averaged, "
                    "or the reverse?"
                )
    ratios = torch.cat([(mine / right)[right.abs() > 1e-6] for mine, right in pairs])
    if len(ratios) > 1 and _close(ratios, ratios.median().expand_as(ratios)):
        return f"Every value is {ratios.median():.4g} times what it should be: look for a factor."
    offsets = torch.cat([mine - right for mine, right in pairs])
    if len(offsets) > 1 and _close(offsets, offsets.median().expand_as(offsets)):
        return f"Every value is off by {offsets.median():+.4g}: look for a constant term."
    signs = torch.sign(offsets)
    if len(signs) > 3 and (signs == signs[0]).all():
        return f"Every value is too {'large' if signs[0] > 0 else 'small'}."
    return "The values differ, and not by a constant factor or offset."


_TRANSFORMS = (
    ("The sign is wrong: every value is the negative of what it should be.", lambda x: -x),
    ("Every value is half of what it should be.", lambda x: x / 2),
    ("Every value is twice what it should be.", lambda x: x * 2),
    ("These are bits; nats were asked for (a logarithm to base 2).", lambda x: x / math.log(2)),
    ("You return the square root of the answer.", lambda x: x.clamp(min=0).sqrt()),
    ("You return the square of the answer.", lambda x: x.square()),
    ("You return the logarithm of the answer.", lambda x: x.clamp(min=1e-30).log()),
    ("You return the exponential of the answer.", lambda x: x.exp()),
    ("You return the reciprocal of the answer (1 / x).", lambda x: 1 / x),
    ("You return 1 minus the answer.", lambda x: 1 - x),
)


def _sizes(exercise: Exercise, outcomes) -> list[tuple[str, list[float]]]:
    r"""The sizes of the arguments' axes, by name, case by case."""
    names = exercise.reference.__code__.co_varnames
    found: dict[str, list[float]] = {}
    for outcome in outcomes:
        for name, arg in zip(names, outcome.args, strict=False):
            if isinstance(arg, torch.Tensor) and arg.dim():
                for axis, size in enumerate(arg.shape):
                    found.setdefault(f"{name}.shape[{axis}]", []).append(float(size))
                each = arg.numel() / len(arg)
                found.setdefault(f"{name}[0].numel()", []).append(each)
            elif isinstance(arg, int) and not isinstance(arg, bool):
                found.setdefault(name, []).append(float(arg))
    return [
        (n, s) for n, s in found.items() if len(s) == len(outcomes) and set(s) != {1.0} and all(s)
    ]


def _flat(value) -> torch.Tensor:
    if not isinstance(value, torch.Tensor):
        value = torch.tensor(float(value), dtype=torch.float64)
    return value.detach().double().flatten()


def _close(left: torch.Tensor, right: torch.Tensor) -> bool:
    return torch.allclose(left, right, rtol=1e-3, atol=1e-6)
