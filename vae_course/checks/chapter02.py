r"""Exercises of notebook 02: transposed convolution."""

import torch
import torch.nn.functional as F

from . import _draw as draw
from ._exercise import Exercise, Mistake, Property

# --- conv_transpose_output_size --------------------------------------------------------------


def conv_transpose_output_size(size, kernel, stride=1, padding=0, output_padding=0, dilation=1):
    last_start = (size - 1) * stride  # where the last stamp begins
    reach = dilation * (kernel - 1) + 1  # cells from a stamp's first entry to its last
    return last_start + reach - 2 * padding + output_padding


def _size_case(generator):
    size, stride = draw.sizes(generator, count=2, low=4, high=7)
    kernel, dilation = draw.sizes(generator, count=2, low=2, high=5)
    padding, output_padding = draw.sizes(generator, count=2, low=1, high=3)
    return size + 4, kernel, stride, padding, output_padding, dilation


def _size_slipped(slips, size, kernel, stride=1, padding=0, output_padding=0, dilation=1):
    steps = size if "steps-as-many-as-pixels" in slips else size - 1
    if "stride-forgotten" in slips:
        stride = 1
    elif "dilation-on-the-stride" in slips:
        stride = stride * dilation
    reach = dilation * (kernel - 1) + 1
    if "dilation-forgotten" in slips:
        reach = kernel
    elif "dilation-times-kernel" in slips:
        reach = dilation * kernel
    elif "end-cell-forgotten" in slips:
        reach = dilation * (kernel - 1)
    crop = 2 * padding
    if "padding-grows" in slips:
        crop = -2 * padding
    elif "padding-on-one-side" in slips:
        crop = padding
    elif "padding-ignored" in slips:
        crop = 0
    extra = output_padding
    if "output-padding-dropped" in slips:
        extra = 0
    elif "output-padding-on-both-sides" in slips:
        extra = 2 * output_padding
    elif "output-padding-subtracted" in slips:
        extra = -output_padding
    out = steps * stride + reach - crop + extra
    return float(out) if "as-a-float" in slips else out


def _forward_size(size, kernel, stride=1, padding=0, output_padding=0, dilation=1):
    return (size + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1


def _times_stride(size, kernel, stride=1, padding=0, output_padding=0, dilation=1):
    return size * stride


def _side_by_side_size(size, kernel, stride=1, padding=0, output_padding=0, dilation=1):
    return size * kernel


CONV_TRANSPOSE_OUTPUT_SIZE = Exercise(
    name="conv_transpose_output_size",
    chapter=2,
    minutes=5,
    difficulty=1,
    returns="a whole number, the length of the output along one axis",
    reference=conv_transpose_output_size,
    case=_size_case,
    slipped=_size_slipped,
    cases=6,
    mistakes=(
        Mistake("forward-formula", "This is the size formula of the ordinary convolution, which "
                "shrinks. Solve it for its input size: that is the transposed one.",
                alone=_forward_size),
        Mistake("size-times-stride", "size · stride is a rule of thumb: it holds when the padding "
                "happens to be chosen for it. Kernel and padding belong in the formula.",
                alone=_times_stride),
        Mistake("stamps-side-by-side", "size · kernel would be stamps laid side by side. They "
                "start `stride` cells apart, and overlap.", alone=_side_by_side_size),
        Mistake("steps-as-many-as-pixels", "`size` stamps are only size − 1 steps apart: the first "
                "one starts at cell 0."),
        Mistake("stride-forgotten", "The stride is missing: neighbouring stamps start `stride` "
                "cells apart, not 1."),
        Mistake("dilation-forgotten", "The dilation is missing: a dilated kernel has holes, so it "
                "reaches further than `kernel` cells."),
        Mistake("dilation-times-kernel", "dilation · kernel counts one gap too many: between "
                "`kernel` entries there are kernel − 1 gaps."),
        Mistake("dilation-on-the-stride", "The dilation was multiplied with the stride. It spreads "
                "the entries of a stamp; where the stamps start is the stride's business alone."),
        Mistake("end-cell-forgotten", "One cell is missing: from the first to the last entry there "
                "are dilation · (kernel − 1) steps, and one cell more than steps."),
        Mistake("padding-grows", "Padding was added. In a transposed convolution it *crops*: "
                "it undoes the frame that a convolution would have put around its input."),
        Mistake("padding-on-one-side", "Padding was taken off once. It crops both ends."),
        Mistake("padding-ignored", "Padding is not used. It crops that many cells at both ends."),
        Mistake("output-padding-dropped", "output_padding is not used. It makes the output longer, "
                "at one end."),
        Mistake("output-padding-on-both-sides", "output_padding was counted twice. Unlike "
                "padding, it works at one end only."),
        Mistake("output-padding-subtracted", "output_padding was subtracted: it makes the output "
                "longer, not shorter."),
        Mistake("as-a-float", "The value is right but it is a float (a division `/` does that). A "
                "size is an int."),
    ),
    properties=(
        Property("one-stamp", lambda f: f(1, 5, 2, 0, 0, 1) == 5, "Begin with a single pixel and a "
                 "kernel of 5, no padding: the output is that one stamp, 5 long."),
        Property("two-stamps", lambda f: f(2, 3, 2, 0, 0, 1) == 5, "Two pixels, kernel 3, stride "
                 "2: stamps on cells 0–2 and 2–4, so 5 cells."),
        Property("padding-crops", lambda f: f(7, 4, 2, 1, 0, 1) == 14, "7 pixels, kernel 4, stride "
                 "2: 16 cells, of which padding = 1 crops one at each end: 14."),
        Property("output-padding", lambda f: f(2, 3, 2, 1, 1, 1) == 4, "2 pixels, kernel 3, stride "
                 "2, padding 1: 3 cells, and output_padding = 1 makes 4 of them."),
        Property("dilation", lambda f: f(1, 3, 2, 0, 0, 2) == 5, "A kernel of 3 with dilation 2 "
                 "covers cells 0, 2 and 4: one stamp is 5 long."),
        Property("defaults", lambda f: f(3, 3) == 5 and f(size=3, kernel=3, dilation=2) == 7,
                 "Called as f(3, 3) it must use the signature's defaults and give 5: stride=1, "
                 "padding=0, output_padding=0, dilation=1. The parameters' names count too."),
    ),
)

# --- conv_transpose2d ------------------------------------------------------------------------


def conv_transpose2d(image, kernel, stride=1, padding=0):
    height, width = image.shape
    k = len(kernel)
    out = image.new_zeros((height - 1) * stride + k, (width - 1) * stride + k)
    for row in range(height):
        for column in range(width):
            top, left = row * stride, column * stride
            out[top : top + k, left : left + k] += image[row, column] * kernel
    return out[padding : out.shape[0] - padding, padding : out.shape[1] - padding]


def _transpose2d_case(generator):
    height, width = draw.sizes(generator, count=2, low=3, high=5)
    seed = generator.initial_seed()  # the six cases' seeds are consecutive: each pair occurs once
    stride, padding = 2 + seed % 2, seed % 3
    k = stride + draw.integer(generator, 1, 2)  # larger than the stride: stamps overlap
    return draw.normal(generator, height, width), draw.normal(generator, k, k), stride, padding


def _transpose2d_slipped(slips, image, kernel, stride=1, padding=0):
    k, border = len(kernel), padding
    if "kernel-rotated" in slips:
        kernel = kernel.flip(0, 1)
    elif "kernel-transposed" in slips:
        kernel = kernel.T
    if "axes-swapped" in slips:
        image = image.T
    if "input-padded" in slips:
        image, border = F.pad(image, 4 * [padding]), 0
    step = 1 if "stride-only-in-the-size" in slips or "stride-ignored" in slips else stride
    spacing = 1 if "stride-ignored" in slips else stride
    more = stride if "canvas-too-large" in slips else 0
    height, width = image.shape
    out = image.new_zeros((height - 1) * spacing + k + more, (width - 1) * spacing + k + more)
    count = torch.zeros_like(out)
    for row in range(height):
        for column in range(width):
            stamp = kernel if "pixel-ignored" in slips else image[row, column] * kernel
            where = (slice(row * step, row * step + k), slice(column * step, column * step + k))
            count[where] += 1
            if "overwritten" in slips:
                out[where] = stamp
            else:
                out[where] += stamp
    out = out / count.clamp(min=1) if "overlaps-averaged" in slips else out
    bottom, right = out.shape[0] - border, out.shape[1] - border
    if "padding-grows" in slips:
        return F.pad(out, 4 * [border])
    if "padding-ignored" in slips:
        return out
    if "cropped-at-the-start-only" in slips:
        return out[border:, border:]
    if "cropped-at-the-end-only" in slips:
        return out[:bottom, :right]
    if "cropped-twice-as-much" in slips:
        return out[2 * border : bottom - border, 2 * border : right - border]
    if "minus-zero" in slips:
        return out[border:-border, border:-border]
    return out[border:bottom, border:right]


def _plain_convolution(image, kernel, stride=1, padding=0):
    return F.conv2d(image[None, None], kernel[None, None], stride=stride, padding=padding)[0, 0]


def _side_by_side(image, kernel, stride=1, padding=0):
    out = torch.kron(image, kernel)
    return out[padding : out.shape[0] - padding, padding : out.shape[1] - padding]


def _nearest_neighbour(image, kernel, stride=1, padding=0):
    larger = image.repeat_interleave(stride, dim=0).repeat_interleave(stride, dim=1)
    return _plain_convolution(larger, kernel, padding=padding)


def _right_on(function, height, width, k, stride, padding) -> bool:
    generator = torch.Generator().manual_seed(height + 10 * k)
    image, kernel = draw.normal(generator, height, width), draw.normal(generator, k, k)
    right = conv_transpose2d(image, kernel, stride, padding)
    mine = function(image, kernel, stride, padding)
    return mine.shape == right.shape and torch.allclose(mine, right, atol=1e-5)


def _two_stamps(function, *settings) -> bool:
    image, kernel = torch.tensor([[1.0, 2.0]]), torch.tensor([[1.0, 0.0], [3.0, 5.0]])
    return function(image, kernel, *settings).tolist() == [[1, 2, 0], [3, 11, 10]]


def _lets_gradients_through(function) -> bool:
    image = torch.ones(2, 3, requires_grad=True)
    kernel = torch.ones(3, 3, requires_grad=True)
    function(image, kernel, 3, 1).sum().backward()  # 2 × 3 stamps side by side, the rim cropped
    return image.grad.tolist() == [[4, 6, 4], [4, 6, 4]] and float(kernel.grad[1, 1]) == 6


CONV_TRANSPOSE2D = Exercise(
    name="conv_transpose2d",
    chapter=2,
    minutes=15,
    difficulty=2,
    returns="((H − 1)·stride + k − 2·padding, (W − 1)·stride + k − 2·padding), the sum of all "
            "stamps, cropped",
    reference=conv_transpose2d,
    case=_transpose2d_case,
    slipped=_transpose2d_slipped,
    cases=6,
    rtol=1e-3,
    atol=1e-4,
    mistakes=(
        Mistake("overwritten", "Where stamps overlap, the later one replaced the earlier one "
                "(`=`). They add up: every pixel has a say in the cells it touches."),
        Mistake("overlaps-averaged", "The overlapping stamps were averaged. They are summed: that "
                "the sum is uneven is the very cause of checkerboards."),
        Mistake("kernel-rotated", "The kernel lands rotated by 180°. A stamp is the kernel as it "
                "is. (The rotation belongs to the other route: there you stuff zeros and convolve "
                "with the rotated kernel.)"),
        Mistake("kernel-transposed", "The kernel lands mirrored at its diagonal (`.T`). It is the "
                "big matrix C that gets transposed, not the little kernel."),
        Mistake("axes-swapped", "Rows and columns are swapped: the image was read as "
                "image[column, row]. A square test image hides that."),
        Mistake("pixel-ignored", "Every stamp has the same strength. It is to be multiplied by the "
                "pixel it belongs to."),
        Mistake("stride-ignored", "The stride is not used: stamps start `stride` cells apart, in "
                "both directions."),
        Mistake("stride-only-in-the-size", "The canvas has the right size, but the stamps land 1 "
                "cell apart instead of `stride`, and the rest stays empty."),
        Mistake("canvas-too-large", "The canvas is one stride too long: size stamps are size − 1 "
                "strides apart. Rows and columns that no stamp reaches are left at the end."),
        Mistake("padding-ignored", "Padding is not used. It crops that many rows and columns at "
                "each of the four edges."),
        Mistake("padding-grows", "Padding added a frame of zeros around the result. In a "
                "transposed convolution it takes a frame *away*."),
        Mistake("input-padded", "The image was padded with zeros first, as for an ordinary "
                "convolution. Here padding acts on the result, and crops it."),
        Mistake("cropped-at-the-start-only", "Padding was cropped at the top and left only; the "
                "bottom and the right lose as much."),
        Mistake("cropped-at-the-end-only", "Padding was cropped at the bottom and right only; the "
                "top and the left lose as much."),
        Mistake("cropped-twice-as-much", "Twice the padding was cropped at each edge. 2·padding is "
                "the loss of both edges together."),
        Mistake("minus-zero", "Without padding the result is empty: `out[p:-p]` with p = 0 is "
                "`out[0:0]`, since -0 is 0. Count the end from the front."),
        Mistake("plain-convolution", "This is the ordinary convolution: the kernel slides over "
                "the image and the result gets smaller. Here each pixel sends out a stamp.",
                alone=_plain_convolution),
        Mistake("stamps-side-by-side", "The stamps lie side by side, k cells apart. They start "
                "`stride` cells apart, and overlap where the kernel is larger than the stride.",
                alone=_side_by_side),
        Mistake("upsampled-then-convolved", "The pixels were repeated, then convolved. That is a "
                "useful layer (Upsample + Conv), but another one: a stamp belongs to one pixel.",
                alone=_nearest_neighbour),
    ),
    properties=(
        Property("one-stamp", lambda f: f(torch.tensor([[2.0]]), torch.tensor([[6.0, 7], [8, 9]]),
                 1, 0).tolist() == [[12, 14], [16, 18]], "Begin with a single pixel: "
                 "the image [[2]] must give 2 · kernel, the kernel as it is, once."),
        Property("two-stamps", lambda f: _two_stamps(f, 1, 0), "Two pixels [[1, 2]] with the "
                 "kernel [[1, 0], [3, 5]], stride 1 and no padding must give [[1, 2, 0], "
                 "[3, 11, 10]]: two stamps, one column apart, summed where they overlap."),
        Property("strided", lambda f: _right_on(f, 2, 3, 3, 2, 0), "A 2 × 3 image, a 3 × 3 kernel, "
                 "stride = 2 and no padding go wrong; the shape should be (5, 7). (`out[p:-p]` "
                 "with p = 0 is empty: count the end from the front.)"),
        Property("cropped", lambda f: _right_on(f, 3, 4, 3, 2, 1), "It is right without padding; a "
                 "3 × 4 image, a 3 × 3 kernel, stride = 2 and padding = 1 go wrong. The shape "
                 "should be (5, 7): one row or column fewer at each edge."),
        Property("gaps", lambda f: _right_on(f, 3, 2, 1, 3, 0), "With a stride larger than "
                 "the kernel (3 and 1) the stamps don't touch: the cells between them stay 0."),
        Property("gradient", _lets_gradients_through, "The values are right, but no gradient "
                 "gets back to both image and kernel: `.item()`, `.detach()`, a new tensor from "
                 "numbers or NumPy cuts the graph, and a decoder made of this can't learn."),
        Property("defaults", _two_stamps, "Called as conv_transpose2d(image, kernel) it must "
                 "use stride = 1 and padding = 0: the signature's defaults."),
    ),
)

# --- overlap_count ---------------------------------------------------------------------------


def overlap_count(size, kernel, stride):
    count = torch.zeros((size - 1) * stride + kernel, dtype=torch.long)  # (out,)
    for pixel in range(size):
        count[pixel * stride : pixel * stride + kernel] += 1  # one more stamp lies here
    return count


def _count_case(generator):
    stride = draw.integer(generator, 2, 3)
    kernel = 2 * stride + draw.integer(generator, 1, stride)
    return draw.integer(generator, 7, 10), kernel, stride


def _count_slipped(slips, size, kernel, stride):
    if "kernel-and-stride-swapped" in slips:
        kernel, stride = stride, kernel
    step = 1 if "stride-ignored" in slips or "stride-only-in-the-size" in slips else stride
    spacing = 1 if "stride-ignored" in slips else stride
    more = stride if "one-stride-too-long" in slips else 0
    count = torch.zeros((size - 1) * spacing + kernel + more, dtype=torch.long)
    width = kernel - 1 if "stamp-one-short" in slips else kernel
    width = 1 if "only-the-starts" in slips else width
    for pixel in range(size - 1 if "last-stamp-missing" in slips else size):
        where = slice(pixel * step, pixel * step + width)
        if "touched-or-not" in slips:
            count[where] = 1
        else:
            count[where] += 1
    count = (count - 1).clamp(min=0) if "first-stamp-not-counted" in slips else count
    count = count[: size * stride] if "cut-at-size-times-stride" in slips else count
    if "two-dimensional" in slips:
        count = torch.outer(count, count)
    if "a-share" in slips:
        return count / count.max().clamp(min=1)
    return count.float() if "as-floats" in slips else count


def _interior_everywhere(size, kernel, stride):
    return torch.full(((size - 1) * stride + kernel,), -(-kernel // stride))


def _windows_of_a_convolution(size, kernel, stride):
    count = torch.zeros(size, dtype=torch.long)
    for start in range(0, size - kernel + 1, stride):
        count[start : start + kernel] += 1
    return count


def _count_is(size, kernel, stride, expected):
    return lambda function: function(size, kernel, stride).tolist() == expected


OVERLAP_COUNT = Exercise(
    name="overlap_count",
    chapter=2,
    minutes=5,
    difficulty=1,
    returns="((size − 1)·stride + kernel,) integers, the number of stamps on each output cell",
    reference=overlap_count,
    case=_count_case,
    slipped=_count_slipped,
    mistakes=(
        Mistake("touched-or-not", "This says whether a cell is touched at all. Count the stamps: "
                "add 1 for each (`+=`, not `=`)."),
        Mistake("first-stamp-not-counted", "The first stamp on a cell is not counted. A cell under "
                "one stamp has the count 1."),
        Mistake("stride-ignored", "The stride is not used: stamps start `stride` cells apart."),
        Mistake("stride-only-in-the-size", "The result is as long as it should be, but the stamps "
                "lie 1 cell apart instead of `stride`."),
        Mistake("kernel-and-stride-swapped", "Kernel and stride are swapped: a stamp is `kernel` "
                "cells long, and stamps start `stride` cells apart."),
        Mistake("stamp-one-short", "Each stamp covers kernel − 1 cells: a slice ends before its "
                "end index."),
        Mistake("last-stamp-missing", "One stamp is missing: there are `size` of them, size − 1 "
                "is the number of steps between them."),
        Mistake("only-the-starts", "Only the first cell of each stamp is counted. A stamp covers "
                "`kernel` cells."),
        Mistake("one-stride-too-long", "The result is one stride too long: `size` stamps are "
                "size − 1 strides apart."),
        Mistake("cut-at-size-times-stride", "The result ends at size · stride. The last stamp "
                "reaches kernel − stride cells further."),
        Mistake("interior-everywhere", "The same number everywhere: near the ends there are fewer "
                "stamps, and where stride doesn't divide kernel the middle alternates.",
                alone=_interior_everywhere),
        Mistake("windows-of-a-convolution", "You counted the windows of an ordinary convolution "
                "over `size` cells. Here `size` is the short side: each of its pixels stamps.",
                alone=_windows_of_a_convolution),
        Mistake("two-dimensional", "This is the map of an image (the outer product). One dimension "
                "is asked for: a vector."),
        Mistake("as-floats", "The counts are right but they are decimal numbers: torch.zeros makes "
                "those by default. Counts are integers."),
        Mistake("a-share", "The counts are divided by their maximum. The counts themselves are "
                "asked for."),
    ),
    properties=(
        Property("one-stamp", _count_is(1, 3, 2, [1, 1, 1]), "A single stamp of 3 cells must give "
                 "1, 1, 1."),
        Property("two-stamps", _count_is(2, 3, 2, [1, 1, 2, 1, 1]), "Two stamps of 3 cells, 2 "
                 "apart, share one cell: 1, 1, 2, 1, 1."),
        Property("three-deep", _count_is(3, 5, 2, [1, 1, 2, 2, 3, 2, 2, 1, 1]), "A long stamp "
                 "reaches over more than its neighbour: 3 stamps of 5 cells, 2 apart, give "
                 "1, 1, 2, 2, 3, 2, 2, 1, 1."),
        Property("gaps", _count_is(3, 1, 2, [1, 0, 1, 0, 1]), "A stride larger than the kernel "
                 "leaves cells that nothing touches: 3 stamps of 1 cell, 2 apart, give "
                 "1, 0, 1, 0, 1."),
    ),
)

EXERCISES = [CONV_TRANSPOSE_OUTPUT_SIZE, CONV_TRANSPOSE2D, OVERLAP_COUNT]
