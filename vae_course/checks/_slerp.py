r"""The exercise `slerp` of notebook 07: both sides of a right angle, and beyond the end."""

import torch

from . import _draw as draw
from ._exercise import Exercise, Mistake, Property
from ._kl import fixed


def slerp(start, end, t):
    cosine = (start / start.norm()) @ (end / end.norm())
    angle = torch.acos(cosine.clamp(-1, 1))  # Ω; rounding can push the cosine past 1
    if torch.sin(angle) < 1e-3:  # parallel or opposite: no arc to follow
        return (1 - t) * start + t * end
    weights = torch.sin((1 - t) * angle), torch.sin(t * angle)
    return (weights[0] * start + weights[1] * end) / torch.sin(angle)


def _slerp_case(generator):
    size = draw.integer(generator, 3, 9)
    start, end = (draw.normal(generator, size, scale=1.5) for _ in range(2))
    sign = 1.0 if float(start @ end) > 0 else -1.0  # an acute angle; observe tries the obtuse too
    return start, sign * end, 0.15 + 0.25 * float(torch.rand((), generator=generator))


def _slerp_slipped(slips, start, end, t):
    t = min(max(t, 0.0), 1.0) if "t-clamped" in slips else t
    t = 1 - t if "t-reversed" in slips else t
    cosine = torch.nn.functional.cosine_similarity(start, end, dim=0).clamp(-1, 1)
    if "shorter-way-of-quaternions" in slips:
        cosine, end = cosine.abs(), end * cosine.sign()
    if "not-normalised" in slips:
        cosine = (start @ end).clamp(-1, 1)
    angle = cosine if "cosine-as-angle" in slips else torch.acos(cosine)
    angle = torch.rad2deg(angle) if "degrees" in slips else angle
    angle = angle / 2 if "half-angle" in slips else angle
    wave = torch.cos if "cosine-weights" in slips else torch.sin
    divisor = angle if "divided-by-the-angle" in slips else torch.sin(angle)
    divisor = 1.0 if "sine-not-divided" in slips else divisor
    if "unit-result" in slips:
        start, end = start / start.norm(), end / end.norm()
    return (wave((1 - t) * angle) * start + wave(t * angle) * end) / divisor


def _straight_line(start, end, t):
    return (1 - t) * start + t * end


def _line_pushed_out(start, end, t):
    line = (1 - t) * start + t * end
    return line / line.norm() * ((1 - t) * start.norm() + t * end.norm())


def _direction_and_norm_apart(start, end, t):
    arc = slerp(start / start.norm(), end / end.norm(), t)
    return arc * ((1 - t) * start.norm() + t * end.norm())


def _observe_slerp(function, args):
    start, end, t = args
    return {
        "value": function(start, end, t),
        "obtuse_angle": function(start, -end, t),
        "beyond_the_end": function(start, end, 1 + t),
    }


def _ends(function) -> bool:
    start, end = fixed(2)[0][0], 3 * fixed(2)[1][0]
    first, last = function(start, end, 0.0), function(start, end, 1.0)
    return torch.allclose(first, start, atol=1e-4) and torch.allclose(last, end, atol=1e-4)


def _keeps_norm(function) -> bool:
    start, end = (2 * row / row.norm() for row in fixed(2)[0][:2])
    norms = torch.stack([function(start, end, t).norm() for t in (0.2, 0.5, 0.9)])
    return torch.allclose(norms, torch.tensor(2.0), atol=1e-3)


def _even_steps(function) -> bool:
    start, end = torch.tensor([2.0, 0.0, 0.0]), torch.tensor([-1.0, 3**0.5, 0.0])
    found = function(start, end, 0.25)  # a quarter of 120 degrees
    return torch.allclose(found, torch.tensor([3**0.5, 1.0, 0.0]), atol=1e-3)


def _parallel(function) -> bool:
    rows = draw.normal(torch.Generator().manual_seed(3), 200, 20)
    same = all(torch.allclose(function(row, row, 0.3), row, atol=1e-3) for row in rows)
    return same and torch.allclose(function(rows[0], 3 * rows[0], 0.5), 2 * rows[0], atol=1e-2)


def _opposite(function) -> bool:
    start = fixed(1)[0][0]
    found = [function(start, -2 * start, t) for t in (0.0, 0.3, 0.6, 1.0)]
    return all(bool(f.norm() <= 2.01 * start.norm()) for f in found)


def _slerp_gradient(function) -> bool:
    start = fixed(1)[0][0].clone().requires_grad_()
    value = function(start, start.detach().clone(), 0.4)
    if value.requires_grad:
        value.sum().backward()
    return start.grad is None or bool(start.grad.isfinite().all())


SLERP = Exercise(
    name="slerp",
    chapter=7,
    minutes=12,
    difficulty=2,
    returns="(D,), the point at t on the arc from start (t = 0) to end (t = 1)",
    reference=slerp,
    case=_slerp_case,
    slipped=_slerp_slipped,
    observe=_observe_slerp,
    explain={
        "value": "The point on the arc is off.",
        "obtuse_angle": "Right where start and end make an acute angle, wrong where it is obtuse "
        "(a negative cosine).",
        "beyond_the_end": "Right for t in [0, 1], wrong beyond: t = 1.2 goes on along the arc.",
    },
    atol=1e-4,
    mistakes=(
        Mistake("straight-line", "This is the straight line. It cuts through the inside of the "
                "sphere; the weights of the arc are sines: sin((1 − t) Ω) and sin(t Ω), with t "
                "inside the sine.", alone=_straight_line),
        Mistake("line-pushed-out", "You took the straight line and scaled it to a norm in between. "
                "Equal steps of t are then unequal steps of angle: slow at the ends, fast in the "
                "middle.", alone=_line_pushed_out),
        Mistake("direction-and-norm-apart", "You interpolated the direction on the unit sphere and "
                "the norm on its own. A sensible path, and the same for equal norms; asked for "
                "is the formula with both sines applied to start and end themselves.",
                alone=_direction_and_norm_apart),
        Mistake("t-reversed", "The path runs backwards: t = 0 must give start, t = 1 end."),
        Mistake("t-clamped", "You clamped t to [0, 1]. Beyond 1 the arc goes on: that is how an "
                "edit is exaggerated."),
        Mistake("not-normalised", "The cosine of the angle is the dot product of *unit* vectors. "
                "You took the dot product of start and end as they are."),
        Mistake("cosine-as-angle", "You used the cosine as if it were the angle: take its arc "
                "cosine, torch.acos."),
        Mistake("degrees", "The angle was turned into degrees, but torch.sin reads radians."),
        Mistake("half-angle", "You used half the angle Ω. (Quaternions do, in places; vectors "
                "don't.)"),
        Mistake("cosine-weights", "The weights are sines. With cosines start's weight at t = 0 is "
                "cos Ω, not 1."),
        Mistake("sine-not-divided", "The division by sin Ω is missing, so t = 0 gives start "
                "shrunk by sin Ω."),
        Mistake("divided-by-the-angle", "You divided by Ω; the ends only come out right with "
                "sin Ω."),
        Mistake("unit-result", "You interpolate the unit vectors, so the norms of start and end "
                "are lost. Normalise for the angle only."),
        Mistake("shorter-way-of-quaternions", "Where the cosine is negative you flipped the sign "
                "of end. That is right for quaternions, where q and −q are one rotation; a latent "
                "and its negative are two different pictures."),
    ),
    properties=(
        Property("ends", _ends, "At t = 0 the result should be start, at t = 1 end, also where "
                 "their norms differ."),
        Property("keeps-the-norm", _keeps_norm, "Between two vectors of norm 2 every point of the "
                 "arc has norm 2; yours has another one."),
        Property("even-steps", _even_steps, "A quarter of the way along an arc of 120 degrees "
                 "should be at 30 degrees: equal steps of t are equal steps of angle."),
        Property("parallel", _parallel, "For parallel vectors (start = end, say) Ω = 0, and the "
                 "formula is 0 / 0; rounding can even give a cosine of 1.0000001, whose acos is "
                 "NaN. Clamp the cosine, and return the point on the straight line there."),
        Property("opposite", _opposite, "For exactly opposite vectors sin Ω is 0 up to rounding, "
                 "and dividing by it gave something huge or NaN. Return the point on the straight "
                 "line there, as for parallel vectors."),
        Property("finite-gradient", _slerp_gradient, "The value is right for start = end, but the "
                 "gradient is NaN there: the slope of acos at 1 is infinite, and torch.where lets "
                 "it through. Leave with an `if` before the division."),
    ),
)  # fmt: skip
