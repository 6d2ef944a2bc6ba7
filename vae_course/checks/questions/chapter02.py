r"""Questions of chapter 02 with numbers of one's own."""

from itertools import product

from .question import Question, Slip

# --- 02-the-stack: sizes through three layers --------------------------------------------------


def _draw_stack(random):
    first, second = random.randint(4, 7), random.choice((3, 4, 5))
    stride = random.choice((4, 5))  # of the third layer: it leaves several sizes to choose from
    n = {
        "size": random.randint(6, 15),
        "k1": first,
        "k2": second,
        "p2": 1,
        "k3": random.randint(stride + 1, stride + 3),
        "s3": stride,
        "p3": random.randint(1, 2),
        "s4": random.randint(3, 6),
        "p4": random.randint(1, 4),
    }
    n["extra"] = random.randint(1, stride - 1)
    n["want"] = _sides(**n)[-1] + n["extra"]
    return n


def _sides(size, k1, k2, p2, k3, s3, p3, **rest):
    one = (size - 1) * 2 + k1
    two = (one - 1) * 2 + k2 - 2 * p2
    return one, two, (two - 1) * s3 + k3 - 2 * p3


def _spoiled(n):
    return _sides(1, n.k1, n.k2, 0, n.k3, n.s3, 0)[-1]


def _stack(n):
    return {
        "side": _sides(**vars(n))[-1],
        "extra": n.extra,
        "kernel": n.s4 + 2 * n.p4,
        "spoiled": _spoiled(n),
    }


def _size_times_stride(n):
    return {"side": n.size * 4 * n.s3}


def _padding_on_one_side(n):
    one = (n.size - 1) * 2 + n.k1
    two = (one - 1) * 2 + n.k2 - n.p2
    return {"side": (two - 1) * n.s3 + n.k3 - n.p3, "kernel": n.s4 + n.p4}


def _padding_ignored(n):
    return {"side": _sides(**vars(n) | {"p2": 0, "p3": 0})[-1], "kernel": n.s4}


def _steps_as_many_as_pixels(n):
    one = n.size * 2 + n.k1
    two = one * 2 + n.k2 - 2 * n.p2
    return {"side": two * n.s3 + n.k3 - 2 * n.p3}


# --- 02-the-box: a layer known only by what it makes of one bright pixel ------------------------


def _draw_box(random):
    k, stride = random.choice(((3, 2), (5, 2), (4, 3), (5, 3)))
    padding = random.randint(1, 2)
    kernel = [[random.randint(10, 99) / 100 for _ in range(k)] for _ in range(k)]
    side, start = 4 * stride + k - 2 * padding, stride - padding
    response = [[0.0] * side for _ in range(side)]
    for row, column in product(range(k), repeat=2):
        response[start + row][start + column] = kernel[row][column]
    return {"side": side, "response": response}


def _kernel(n):
    filled = [i for i, row in enumerate(n.response) if any(row)]
    start, end = filled[0], filled[-1] + 1
    return start, [row[start:end] for row in n.response[start:end]]


def _by_phase(kernel, stride):
    places = product(range(stride), repeat=2)
    return [[v for row in kernel[top::stride] for v in row[left::stride]] for top, left in places]


def _box(n):
    start, kernel = _kernel(n)
    stride = (n.side - len(kernel) - 2 * start) // 2
    sums = [sum(phase) for phase in _by_phase(kernel, stride)]
    return {
        "kernel": len(kernel),
        "stride": stride,
        "padding": stride - start,
        "contrast": max(sums) / min(sums),
    }


def _counts(n):
    phases = _by_phase(_kernel(n)[1], _box(n)["stride"])
    counts = [len(phase) for phase in phases]
    return {"contrast": max(counts) / min(counts)}


def _entries(n):
    values = [v for row in _kernel(n)[1] for v in row]
    return {"contrast": max(values) / min(values)}


def _phase_means(n):
    phases = _by_phase(_kernel(n)[1], _box(n)["stride"])
    means = [sum(phase) / len(phase) for phase in phases]
    return {"contrast": max(means) / min(means)}


QUESTIONS = (
    Question(
        name="02-the-stack",
        draw=_draw_stack,
        text="Your offer: {size} pixels go in, along one axis. Three layers:\n"
             "  1. kernel {k1}, stride 2, padding 0\n"
             "  2. kernel {k2}, stride 2, padding {p2}\n"
             "  3. kernel {k3}, stride {s3}, padding {p3}\n"
             "The hospital wants {want} pixels.\n"
             "A single layer for another machine: stride {s4}, padding {p4}.",
        answers=_stack,
        unit={"side": "pixels", "extra": "cells", "kernel": "cells", "spoiled": "pixels"},
        slips=(
            Slip("size-times-stride",
                 "That is the size times the strides. The last stamp of each layer sticks out.",
                 _size_times_stride),
            Slip("steps-as-many-as-pixels", "Between n stamps there are n − 1 steps.",
                 _steps_as_many_as_pixels),
            Slip("padding-on-one-side", "Padding is cropped at both ends of the axis.",
                 _padding_on_one_side),
            Slip("padding-ignored", "The padding is not taken off.", _padding_ignored),
            Slip("last-kernel-only",
                 "That is the reach of the last layer alone. The pixel has been spread before.",
                 lambda n: {"spoiled": n.k3}),
            Slip("strides-forgotten",
                 "The kernels' reaches were added as they are. What the first layer spreads, the "
                 "later ones pull apart by their strides.",
                 lambda n: {"spoiled": n.k1 + n.k2 + n.k3 - 2}),
            Slip("stamps-side-by-side",
                 "That multiplies the kernels, as if each stamp began where the one before ends.",
                 lambda n: {"spoiled": n.k1 * n.k2 * n.k3}),
        ),
    ),
    Question(
        name="02-the-box",
        draw=_draw_box,
        text="Your box got a black picture of 5 × 5 pixels with one pixel of brightness 1, in row "
             "1 and\n"
             "column 1, both counted from 0. It answered with {side} × {side} pixels: "
             "box.response.",
        answers=_box,
        unit={"kernel": "cells", "stride": "cells", "padding": "cells", "contrast": "a ratio"},
        slips=(
            Slip("gaps-counted",
                 "From the first bright cell to the last there is one gap fewer than there are "
                 "cells.", lambda n: {"kernel": _box(n)["kernel"] - 1}),
            Slip("crop-forgotten",
                 "That is where the stamp begins in the answer. The crop has moved it to the left.",
                 lambda n: {"stride": _kernel(n)[0]}),
            Slip("both-ends-together",
                 "That is what is cropped at both ends together; padding counts one end.",
                 lambda n: {"padding": 2 * _box(n)["padding"]}),
            Slip("stamps-counted",
                 "That compares how many stamps lie on a cell. What they add up to is asked for.",
                 _counts),
            Slip("single-entries",
                 "That compares the kernel's single entries. On a cell lie several at once.",
                 _entries),
            Slip("averaged", "The entries on a cell were averaged. Stamps add up.", _phase_means),
            Slip("upside-down", "That is the darkest over the brightest.",
                 lambda n: {"contrast": 1 / _box(n)["contrast"]}),
        ),
        rtol=2e-3,
    ),
)  # fmt: skip
