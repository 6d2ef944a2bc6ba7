r"""From what a function did to a verdict: right, a known mistake, or what the evidence shows.

What is said about the student's function is true of it: a known mistake is named where it does
exactly the same, a pattern where all values have it, and otherwise one sees what differs.
"""

import contextlib
import functools
import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from . import draw, errors, sandbox
from .definition import Exercise, Mistake, Property
from .sandbox import NothingReturned, Outcome, run
from .values import close, countable, flat, kind, misfit, same, show
from .verdict import Verdict


def judge(exercise: Exercise, function: Callable, seed: int) -> Verdict:
    r"""The verdict on a callable, inside the limits and with everything put back afterwards."""
    if function is None or function is Ellipsis:
        return Verdict(exercise.name, "not attempted", hint="Define the function first.")
    if not callable(function):
        hint = (
            f"A {kind(function)} came instead of a function. Pass the function itself, "
            f"without calling it: checks.check({exercise.name!r}, {exercise.name})"
        )
        return Verdict(exercise.name, "error", "no-function", hint)
    try:
        with sandbox.sheltered(), sandbox.limits():
            return _Case(exercise, function, seed).verdict()
    except sandbox.TooSlow as slow:
        hint = f"There was {slow}: is there a loop that never ends?"
        return Verdict(exercise.name, "error", "too-slow", hint)


@functools.lru_cache(maxsize=4096)
def _of_mistakes(exercise: Exercise, names: tuple[str, ...], seed: int) -> Outcome:
    r"""What the function with these mistakes does: the same for every student, so kept."""
    mistakes = [mistake for mistake in exercise.mistakes if mistake.name in names]
    outcome = run(exercise, exercise.make(mistakes), seed)
    error = outcome.error and outcome.error.with_traceback(None)  # its frames would be kept, too
    return Outcome(args=(), fields=outcome.fields, error=error)


class _Case:
    r"""One function and one exercise, with what both did on the same inputs."""

    def __init__(self, exercise: Exercise, function: Callable, seed: int):
        self.exercise, self.function = exercise, function
        self.seeds = [seed + index for index in range(exercise.cases)]
        self.outcomes = [run(exercise, function, s, quiet=s != seed) for s in self.seeds]

    def verdict(self) -> Verdict:
        exercise = self.exercise
        first = self.outcomes[0].error
        unwritten = isinstance(first, NothingReturned) and first.stub
        if unwritten or isinstance(first, NotImplementedError):
            task = f"{exercise.signature} → {exercise.returns}."
            hint = f"Replace the `...` with your own lines.\n{task}"
            return Verdict(exercise.name, "not attempted", hint=hint)
        self.nan = self.nan_seed = None
        self.expected = [run(exercise, exercise.reference, s) for s in self.seeds]
        for outcome in self.expected:
            if outcome.error is not None:
                raise outcome.error
        if all(map(self._agree, self.outcomes, self.expected)):
            return self._beyond_values()
        return self._wrong()

    # -------------------------------------------------------------------- right, and beyond values

    def _beyond_values(self) -> Verdict:
        name = self.exercise.name
        edited = sorted({name for outcome in self.outcomes for name in outcome.edited})
        if edited:
            hint = (
                f"The values are right, but your function changed its argument {', '.join(edited)} "
                "in place: the caller's data is different afterwards. Work on a new tensor "
                "(x = x - m instead of x -= m)."
            )
            return Verdict(name, "wrong", "edits-its-input", hint)
        switched = sorted({name for outcome in self.outcomes for name in outcome.switched})
        if switched:
            hint = (
                f"The value is right, but your function left {', '.join(switched)} in another "
                "mode (`.eval()`, `.train()`): dropout and batch normalisation would behave "
                "differently from then on. The mode is the caller's choice; leave it as it is."
            )
            return Verdict(name, "wrong", "switches-the-mode", hint)
        left = next((outcome.left for outcome in self.outcomes if outcome.left), "")
        if left:
            hint = (
                f"The value is right, but your function sent a gradient back itself: it lies in "
                f"{left} now, and the training step's own `.backward()` will add to it or fail. "
                "Return the loss, and leave `.backward()` to the training step."
            )
            return Verdict(name, "wrong", "calls-backward", hint)
        for found in self._gradient(), self._broken_property(demanded=True):
            if found:
                return Verdict(name, found.status, found.mistake, found.hint)
        return Verdict(name, "passed", hint=f"Right on {len(self.outcomes)} fresh random inputs.")

    def _gradient(self) -> "_Found | None":
        r"""What is wrong with the gradient of right values, if the task asks for one."""
        exercise, seed = self.exercise, self.seeds[0]
        if not exercise.gradient:
            return None
        try:
            mine = _gradients(exercise, self.function, seed)
        except (Exception, SystemExit) as error:
            hint = "The value is right, but the way back for the gradient is not.\n"
            return _Found("gradient", hint + errors.explain(error, exercise), "error")
        right = _gradients(exercise, exercise.reference, seed)
        problem = self._compared(mine, right)
        if problem is None:
            return None
        for mistake in exercise.mistakes:  # one that leaves the values right, and cuts as much
            if self._matches([mistake]):
                theirs = _gradients(exercise, exercise.make([mistake]), seed)
                if self._compared(theirs, right) == problem:
                    return _Found(mistake.name, mistake.hint)
        return _Found("gradient", problem)

    def _compared(self, mine: dict | None, right: dict[str, Tensor]) -> str | None:
        r"""What a gradient lacks, in words; None if nothing."""
        if mine is None or all(each is None for each in mine.values()):
            return _NO_GRADIENT
        for name, wanted in right.items():
            got = mine[name]
            if got is None or not (got.any() or not wanted.any()):
                return (
                    f"The value is right, but no gradient reaches {name}: look for `.detach()`, "
                    "`.item()`, `.data`, NumPy, a new tensor made of numbers, or "
                    "`torch.no_grad()` on its way."
                )
            if not same(got, wanted, rtol=1e-2, atol=1e-4, coarse=self.outcomes[0].coarse):
                return (
                    f"The value is right, but the gradient that reaches {name} is not: expected "
                    f"{show(wanted)}, got {show(got)}. Part of the way is cut (`.detach()`, "
                    "`.data`, `.item()`, NumPy, `torch.no_grad()`), or a clamp or rounding stops "
                    "it."
                )
        return None

    def _broken_property(self, *, demanded: bool = False) -> "_Found | None":
        r"""The first property that does not hold.

        demanded: only what the reference has too, when it returns the student's coarser type
        """
        for each in self.exercise.properties:
            holds, error = _holds(each, self.function)
            if holds:
                continue
            coarse = next((o.coarse for o in self.outcomes if o.coarse), None)
            if demanded and coarse and not _holds(each, self._reference_as(coarse))[0]:
                continue
            hint = each.hint
            if isinstance(error, NothingReturned):
                hint += "\nHere your function returned None."
            elif error is not None:
                hint += f"\nHere it raised {errors.explain(error)}"
            return _Found(each.name, hint)
        return None

    def _reference_as(self, dtype: torch.dtype) -> Callable:
        def other(*args, **kwargs):
            value = self.exercise.reference(*args, **kwargs)
            return value.to(dtype) if _is_tensor(value) and value.is_floating_point() else value

        return other

    # ---------------------------------------------------------------------------- what went wrong

    def _wrong(self) -> Verdict:
        exercise = self.exercise
        raised = next((o for o in self.outcomes if o.error is not None), None)
        status = "wrong" if raised is None or isinstance(raised.error, NothingReturned) else "error"
        self.nan = self._nan()
        singles = [mistake for mistake in exercise.mistakes if self._matches([mistake])]
        if singles:
            hints = "\nOr, which looks the same from outside: ".join(m.hint for m in singles[:3])
            return Verdict(exercise.name, status, singles[0].name, hints, self._example())
        if raised is not None:
            found = self._raised(raised)
            return Verdict(exercise.name, status, found.mistake, found.hint)
        found = self._nan_found() or self._pair() or self._misfit() or self._chance()
        found = found or self._evidence()
        return Verdict(exercise.name, status, found.mistake, found.hint, self._example())

    def _agree(self, got: Outcome, expected: Outcome) -> bool:
        if got.error is not None or expected.error is not None:
            return type(got.error) is type(expected.error) and (
                errors.message(got.error) == errors.message(expected.error)
            )
        return got.fields.keys() == expected.fields.keys() and all(
            self._same(got, key, right) for key, right in expected.fields.items()
        )

    def _same(self, got: Outcome, key: str, right) -> bool:
        tolerance = {"rtol": self.exercise.rtol, "atol": self.exercise.atol}
        return same(got.fields.get(key), right, coarse=got.coarse, **tolerance)

    def _matches(self, mistakes: list[Mistake]) -> bool:
        r"""Whether these mistakes do exactly what the student's function does.

        NaN equals every other NaN: where there is one, it has to arise in the same way as well.
        """
        with contextlib.suppress(ValueError):  # two edits that leave no valid Python together
            names = tuple(mistake.name for mistake in mistakes)
            for outcome, seed in zip(self.outcomes, self.seeds, strict=True):
                if not self._agree(outcome, _of_mistakes(self.exercise, names, seed)):
                    return False
            if self.nan_seed is None:
                return True
            wrong = self.exercise.make(mistakes)
            theirs = errors.origin(self.exercise, wrong, self.nan_seed)
            if self.nan is None or theirs is None:
                return self.nan is theirs  # the NaN is the observer's own: of nothing, an average
            return (theirs.operation, theirs.got) == (self.nan.operation, self.nan.got)
        return False

    def _pair(self) -> "_Found | None":
        r"""Two known mistakes at once, if the values single them out."""
        if self.nan is not None or not self._informative():
            return None
        found = [pair for pair in self.exercise.pairs() if self._matches(pair)]
        if not found:
            return None
        certain = [m for m in found[0] if all(m in pair for pair in found)]
        if len(found) == 1 or (len(found) == 2 and not certain):
            hints = ["\nAnd a second slip: ".join(m.hint for m in pair) for pair in found]
            name = "+".join(mistake.name for mistake in found[0])
            return _Found(name, "\nOr, which looks the same from outside: ".join(hints))
        if certain:
            return _Found(certain[0].name, f"{certain[0].hint}\nThat is not all yet: see below.")
        return None

    def _informative(self) -> bool:
        r"""Whether the outcomes could tell one pair from another: not if all is 0, or the same."""
        values = [o.fields.get("value", "observed otherwise") for o in self.outcomes]
        if isinstance(values[0], str):
            return True
        if not all(countable(value) for value in values):
            return False
        numbers = [flat(value) for value in values]
        return any(len(n) != len(numbers[0]) or not close(n, numbers[0]) for n in numbers)

    def _raised(self, outcome: Outcome) -> "_Found":
        error = outcome.error
        if isinstance(error, NothingReturned):
            return _Found("return-missing", "None came back: a `return` is missing, or one of the "
                          "ways through the function has none.")  # fmt: skip
        hint = errors.explain(error, self.exercise, outcome.args)
        if any(o.error is None for o in self.outcomes):
            given = errors.inputs(self.exercise, outcome.args)
            hint += f"\nOther inputs raise nothing; these do: {given}."
        return _Found(type(error).__name__, hint)

    def _misfit(self) -> "_Found | None":
        r"""The wrong kind of thing, or the wrong shape."""
        for got, want in zip(self.outcomes, self.expected, strict=True):
            for key, right in want.fields.items():
                problem = misfit(got.fields.get(key), right)
                if not problem:
                    continue
                field = "" if key == "value" else f"For {key.replace('_', ' ')}, "
                sentence = f"{field}{problem}. It should be: {self.exercise.returns}."
                value = got.fields.get(key)
                name = "shape" if isinstance(value, Tensor) else f"returns-{kind(value).lower()}"
                return _Found(name, sentence[0].upper() + sentence[1:])
        return None

    def _chance(self) -> "_Found | None":
        r"""An answer that is another one at the next call, where the arguments decide it."""
        if self.exercise.observe is not None:
            return None
        first, seed = self.outcomes[0], self.seeds[0]
        if not isinstance(first.fields.get("value"), Tensor | float | int):
            return None  # the wrong kind of thing is told as that
        again = run(self.exercise, self.function, seed, chance=seed + 1)
        if again.error is not None or self._same(again, "value", first.fields["value"]):
            return None
        both = f"{show(first.fields['value'])}, then {show(again.fields['value'])}"
        return _Found("differs-between-calls", f"Two calls with the same arguments gave two "
                      f"answers: {both}. Is something drawn at random in your function, or kept "
                      "from call to call? Here the arguments decide the answer.")  # fmt: skip

    def _nan(self) -> errors.Origin | None:
        r"""Where the first NaN arises in a function that returns some."""
        for outcome, right, seed in zip(self.outcomes, self.expected, self.seeds, strict=True):
            for key, value in outcome.fields.items():
                if _has(value, math.isnan) and not _has(right.fields.get(key), math.isnan):
                    self.nan_seed = seed
                    found = errors.origin(self.exercise, self.function, seed)
                    if found is None and self.exercise.observe is None:
                        return errors.Origin("", 0.0, "", "NaN")
                    return found
        return None

    def _nan_found(self) -> "_Found | None":
        if self.nan is not None:
            known = str(self.nan) if self.nan.operation else "Some values are NaN."
            return _Found("nan", known)
        for outcome, right, seed in zip(self.outcomes, self.expected, self.seeds, strict=True):
            for key, value in outcome.fields.items():
                if _has(value, math.isinf) and not _has(right.fields.get(key), math.isinf):
                    found = errors.origin(self.exercise, self.function, seed, "infinity")
                    told = str(found) if found else "Some values are infinite."
                    return _Found("infinite", told)
        return None

    def _evidence(self) -> "_Found":
        r"""What the wrong values have in common; else the first property that fails."""
        exercise = self.exercise
        fields = self.expected[0].fields
        pairs = list(zip(self.outcomes, self.expected, strict=True))
        different = [
            key for key in fields if any(not self._same(g, key, w.fields[key]) for g, w in pairs)
        ]
        if different == ["value"] or list(fields) == ["value"]:
            found = self._pattern()
            if found:
                return found
        elif different[0] in exercise.explain and different[0] != "value":
            return _Found(different[0].replace("_", "-"), exercise.explain[different[0]])
        found = self._broken_property()
        if found:
            return found
        if different[0] in exercise.explain:
            return _Found(different[0].replace("_", "-"), exercise.explain[different[0]])
        which = self._side() if different == ["value"] else "The values differ."
        return _Found(None, f"{which} It should be: {exercise.returns}.")

    def _side(self) -> str:
        both = zip(self.outcomes, self.expected, strict=True)
        off = torch.cat([flat(g.fields["value"]) - flat(w.fields["value"]) for g, w in both])
        if len(off) > 3 and (off.sign() == off[0].sign()).all():
            which = "Every value" if len(off) > len(self.outcomes) else "The answer to every input"
            return f"{which} is too {'large' if off[0] > 0 else 'small'}."
        return "The values differ."

    def _pattern(self) -> "_Found | None":
        r"""What the wrong values have in common over all cases: a factor, an offset, a function."""
        pairs = [
            [flat(side.fields["value"]) for side in both]
            for both in zip(self.outcomes, self.expected, strict=True)
        ]
        if sum(len(right) for _, right in pairs) < 3:
            return None
        first = pairs[0][0]
        varied = any(len(r) != len(first) or not _near(r, pairs[0][1]) for _, r in pairs)
        if varied and all(len(mine) == len(first) and _near(mine, first) for mine, _ in pairs):
            same = show(self.outcomes[0].fields["value"])
            hint = f"The same answer came back for every input ({same})."
            return _Found("same-for-every-input", hint)
        for name, sentence, change in _TRANSFORMS:
            if all(_near(mine, change(right)) for mine, right in pairs):
                return _Found(name, sentence)
        if all(_near(mine.sort().values, right.sort().values) for mine, right in pairs):
            return _Found("wrong-order", "The right numbers, in the wrong order: an axis or the "
                          "order of the result is off.")  # fmt: skip
        return self._factor(pairs)

    def _factor(self, pairs) -> "_Found | None":
        for name, sizes in self._sizes():
            for words, power in (("too large", 1), ("too small", -1)):
                both = zip(pairs, sizes, strict=True)
                if all(_near(mine, right * size**power) for (mine, right), size in both):
                    hint = f"Every value is {words} by a factor of the size {name}"
                    return _Found("factor-of-a-size", f"{hint}: summed where averaged, or the "
                                  "reverse?")  # fmt: skip
        ratios = torch.cat([(mine / right)[right.abs() > 1e-6] for mine, right in pairs])
        if len(ratios) > 2 and _near(ratios, ratios.median().expand_as(ratios)):
            times = f"Every value is {ratios.median():.4g} times what it should be"
            return _Found("factor", f"{times}: look for a factor.")
        offsets = torch.cat([mine - right for mine, right in pairs])
        if len(offsets) > 2 and _near(offsets, offsets.median().expand_as(offsets)):
            off = f"Every value is off by {offsets.median():+.4g}"
            return _Found("offset", f"{off}: look for a constant term.")
        return None

    def _sizes(self) -> list[tuple[str, list[float]]]:
        r"""The sizes of the arguments' axes, by name, case by case."""
        found: dict[str, list[float]] = {}
        for outcome in self.outcomes:
            for name, arg in zip(self.exercise.parameters, outcome.args, strict=False):
                if isinstance(arg, Tensor) and arg.dim():
                    for axis, size in enumerate(arg.shape):
                        found.setdefault(f"{name}.shape[{axis}]", []).append(float(size))
                    found.setdefault(f"{name}[0].numel()", []).append(arg.numel() / len(arg))
                elif isinstance(arg, int) and not isinstance(arg, bool):
                    found.setdefault(name, []).append(float(arg))
        count = len(self.outcomes)
        return [(n, s) for n, s in found.items() if len(s) == count and set(s) != {1.0} and all(s)]

    def _example(self) -> str:
        r"""The smallest case that differs: its inputs, what was expected, what came."""
        cases = [
            (got, want)
            for got, want in zip(self.outcomes, self.expected, strict=True)
            if got.error is None and not self._agree(got, want)
        ]
        if not cases:
            return ""
        got, want = min(cases, key=lambda c: sum(a.numel() for a in c[0].args if _is_tensor(a)))
        for key, right in want.fields.items():
            mine = got.fields.get(key)
            if not self._same(got, key, right):
                label = "" if key == "value" else f" ({key.replace('_', ' ')})"
                lines = [f"for {errors.inputs(self.exercise, got.args)}"]
                lines += [f"  expected{label}: {show(right)}", f"  got{label}: {show(mine)}"]
                return "\n".join(lines + _place(mine, right))
        return ""


@dataclass(frozen=True)
class _Found:
    mistake: str | None
    hint: str
    status: str = "wrong"


_NO_GRADIENT = (
    "The value is right, but no gradient comes back from it: `.detach()`, `.item()`, NumPy or "
    "`torch.no_grad()` cut the graph. As a loss it would train nothing."
)
_TRANSFORMS = (
    ("answer-negated", "The sign is wrong: every value is the negative of what it should be.",
     lambda x: -x),
    ("answer-halved", "Every value is half of what it should be.", lambda x: x / 2),
    ("answer-doubled", "Every value is twice what it should be.", lambda x: x * 2),
    ("answer-in-bits", "Every value is 1 / log 2 = 1.443 times what it should be: are these bits, "
     "where nats were asked for?", lambda x: x / math.log(2)),
    ("answer-rooted", "The square root of the answer came back.", lambda x: x.clamp(min=0).sqrt()),
    ("answer-squared", "The square of the answer came back.", lambda x: x.square()),
    ("answer-logged", "The logarithm of the answer came back.", lambda x: x.clamp(min=1e-30).log()),
    ("answer-exponentiated", "The exponential of the answer came back.", lambda x: x.exp()),
    ("answer-inverted", "The reciprocal of the answer (1 / x) came back.", lambda x: 1 / x),
    ("one-minus-answer", "1 minus the answer came back.", lambda x: 1 - x),
    ("answer-rounded", "The answers are rounded to whole numbers.", lambda x: x.round()),
    ("answer-floored", "The answers are cut to whole numbers (`//`, `int`).", lambda x: x.floor()),
    ("answer-without-sign", "The answer without its sign came back.", lambda x: x.abs()),
    ("answer-clamped", "What should be negative came back as 0.", lambda x: x.clamp(min=0)),
)  # fmt: skip


def _place(mine, right) -> list[str]:
    r"""Where they differ, if the beginning of both looks the same."""
    if not (_is_tensor(mine) and countable(mine) and _is_tensor(right) and right.dim()):
        return []
    if mine.shape != right.shape or show(mine) != show(right) or right.numel() <= 4:
        return []
    worst = int((flat(mine) - flat(right)).nan_to_num(math.inf).abs().argmax())
    index = [int(i) for i in torch.unravel_index(torch.tensor(worst), right.shape)]
    values = flat(right)[worst], flat(mine)[worst]
    return ["  at [{}]: expected {:.4g}, got {:.4g}".format(", ".join(map(str, index)), *values)]


def _holds(each: Property, function: Callable) -> tuple[bool, BaseException | None]:
    try:
        with sandbox.printing(quiet=True), sandbox.ordinary():
            return bool(each.holds(sandbox.Guarded(function))), None
    except (Exception, SystemExit) as error:
        return False, error


def _gradients(exercise: Exercise, function: Callable, seed: int) -> dict[str, Tensor] | None:
    r"""The gradient that reaches each argument named in `gradient`; None if there is no graph."""
    args = list(exercise.inputs(draw.case(seed)))
    where = {name: exercise.parameters.index(name) for name in exercise.gradient}
    leaves = {}
    for name, index in where.items():
        if isinstance(args[index], torch.nn.Module):
            leaves[name] = next(iter(args[index].parameters()))
        else:
            leaves[name] = args[index].clone().requires_grad_()
            args[index] = leaves[name] * 1.0  # no leaf: an edit in place must not be refused
    torch.default_generator.manual_seed(seed)
    with sandbox.printing(quiet=True), sandbox.ordinary():
        value = sandbox.Guarded(function)(*args)
        if not (isinstance(value, Tensor) and value.requires_grad):
            return None
        weights = torch.linspace(0.5, 1.5, value.numel()).view_as(value).to(value.dtype)
        total = (value * weights).sum()
        found = torch.autograd.grad(total, list(leaves.values()), allow_unused=True)
    return dict(zip(leaves, found, strict=True))


def _is_tensor(value) -> bool:
    return isinstance(value, Tensor)


def _has(value, bad: Callable[[float], bool]) -> bool:
    if not countable(value) or isinstance(value, int):
        return False
    numbers = flat(value)
    return bool((numbers.isnan() if bad is math.isnan else numbers.isinf()).any())


def _near(left: Tensor, right: Tensor) -> bool:
    return close(left, right, rtol=1e-3, atol=1e-6)
