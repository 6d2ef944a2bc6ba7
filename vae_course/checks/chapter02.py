r"""Exercises of notebook 02: transposed convolution."""

import torch
import torch.nn.functional as F

from . import draw
from .definition import Exercise
from .values import close

# --- conv_transpose_output_size --------------------------------------------------------------


def conv_transpose_output_size(size, kernel, stride=1, padding=0, output_padding=0, dilation=1):
    last_start = (size - 1) * stride  # where the last stamp begins
    reach = dilation * (kernel - 1) + 1  # cells from a stamp's first entry to its last
    return last_start + reach - 2 * padding + output_padding


def _settings(g):
    size, stride = draw.sizes(g, count=2, low=4, high=7)
    kernel, dilation = draw.sizes(g, count=2, low=2, high=5)
    padding, output_padding = draw.sizes(g, count=2, low=1, high=3)
    return size + 4, kernel, stride, padding, output_padding, dilation


def _forward_size(size, kernel, stride=1, padding=0, output_padding=0, dilation=1):
    return (size + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1


def _forward_size_without_dilation(
    size, kernel, stride=1, padding=0, output_padding=0, dilation=1
):  # fmt: skip
    return (size + 2 * padding - kernel) // stride + 1


def _times_stride(size, kernel, stride=1, padding=0, output_padding=0, dilation=1):
    return size * stride


def _side_by_side_size(size, kernel, stride=1, padding=0, output_padding=0, dilation=1):
    return size * kernel


out_size = Exercise(
    conv_transpose_output_size,
    inputs=_settings,
    returns="a whole number, the length of the output along one axis",
    chapter=2, minutes=5, difficulty=1, cases=6,
)  # fmt: skip
out_size.mistake("forward-formula", function=_forward_size,
                 hint="This is the size formula of the ordinary convolution, which shrinks. Solve "
                      "it for its input size: that is the transposed one.")
out_size.mistake("forward-formula-without-dilation", function=_forward_size_without_dilation,
                 hint="This is the size formula of an ordinary convolution without dilation: it "
                      "shrinks. Solve it for its input size, and let a dilated kernel reach "
                      "further.")
out_size.mistake("size-times-stride", function=_times_stride,
                 hint="size · stride is a rule of thumb: it holds when the padding happens to be "
                      "chosen for it. Kernel and padding belong in the formula.")
out_size.mistake("stamps-side-by-side", function=_side_by_side_size,
                 hint="size · kernel would be stamps laid side by side. They start `stride` cells "
                      "apart, and overlap.")
out_size.mistake("steps-as-many-as-pixels", edit=("(size - 1)", "size"),
                 hint="`size` stamps are only size − 1 steps apart: the first one starts at cell "
                      "0.")
out_size.mistake("stride-forgotten", edit=(" * stride", ""),
                 hint="The stride is missing: neighbouring stamps start `stride` cells apart, not "
                      "1.")
out_size.mistake("dilation-forgotten", edit=("dilation * (kernel - 1) + 1", "kernel"),
                 hint="The dilation is missing: a dilated kernel has holes, so it reaches further "
                      "than `kernel` cells.")
out_size.mistake("dilation-times-kernel", edit=("dilation * (kernel - 1) + 1", "dilation * kernel"),
                 hint="dilation · kernel counts one gap too many: between `kernel` entries there "
                      "are kernel − 1 gaps.")
out_size.mistake("dilation-on-the-stride", edit=("* stride", "* stride * dilation"),
                 hint="The dilation was multiplied with the stride. It spreads the entries of a "
                      "stamp; where the stamps start is the stride's business alone.")
out_size.mistake("end-cell-forgotten", edit=(" + 1", ""),
                 hint="One cell is missing: from the first to the last entry there are dilation · "
                      "(kernel − 1) steps, and one cell more than steps.")
out_size.mistake("padding-grows", edit=("- 2 * padding", "+ 2 * padding"),
                 hint="Padding was added. In a transposed convolution it *crops*: it undoes the "
                      "frame that a convolution would have put around its input.")
out_size.mistake("padding-on-one-side", edit=("2 * padding", "padding"),
                 hint="Padding was taken off once. It crops both ends.")
out_size.mistake("padding-ignored", edit=(" - 2 * padding", ""),
                 hint="Padding is not used. It crops that many cells at both ends.")
out_size.mistake("output-padding-dropped", edit=(" + output_padding", ""),
                 hint="output_padding is not used. It makes the output longer, at one end.")
out_size.mistake("output-padding-on-both-sides", edit=("+ output_padding", "+ 2 * output_padding"),
                 hint="output_padding was counted twice. Unlike padding, it works at one end only.")
out_size.mistake("output-padding-subtracted", edit=("+ output_padding", "- output_padding"),
                 hint="output_padding was subtracted: it makes the output longer, not shorter.")
out_size.mistake("as-a-float", edit=("return last", "return 1.0 * last"),
                 hint="The value is right but it is a float (a division `/` does that). A size is "
                      "an int.")
out_size.must("one-stamp", lambda f: f(1, 5, 2, 0, 0, 1) == 5,
              hint="Begin with a single pixel and a kernel of 5, no padding: the output is that "
                   "one stamp, 5 long.")
out_size.must("two-stamps", lambda f: f(2, 3, 2, 0, 0, 1) == 5,
              hint="Two pixels, kernel 3, stride 2: stamps on cells 0–2 and 2–4, so 5 cells.")
out_size.must("padding-crops", lambda f: f(7, 4, 2, 1, 0, 1) == 14,
              hint="7 pixels, kernel 4, stride 2: 16 cells, of which padding = 1 crops one at "
                   "each end: 14.")
out_size.must("output-padding", lambda f: f(2, 3, 2, 1, 1, 1) == 4,
              hint="2 pixels, kernel 3, stride 2, padding 1: 3 cells, and output_padding = 1 "
                   "makes 4 of them.")
out_size.must("dilation", lambda f: f(1, 3, 2, 0, 0, 2) == 5,
              hint="A kernel of 3 with dilation 2 covers cells 0, 2 and 4: one stamp is 5 long.")
out_size.must("defaults", lambda f: f(3, 3) == 5 and f(size=3, kernel=3, dilation=2) == 7,
              hint="Called as f(3, 3) it must use the signature's defaults and give 5: stride=1, "
                   "padding=0, output_padding=0, dilation=1. The parameters' names count too.")

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


def _an_image_and_a_kernel(g):
    height, width = draw.sizes(g, count=2, low=3, high=5)
    seed = g.initial_seed()  # the six cases' seeds are consecutive: each pair occurs once
    stride, padding = 2 + seed % 2, seed % 3
    k = stride + draw.integer(g, 1, 2)  # larger than the stride: stamps overlap
    return draw.pixels(g, height, width), draw.normal(g, k, k), stride, padding


def _plain_convolution(image, kernel, stride=1, padding=0):
    return F.conv2d(image[None, None], kernel[None, None], stride=stride, padding=padding)[0, 0]


def _side_by_side(image, kernel, stride=1, padding=0):
    out = torch.kron(image, kernel)
    return out[padding : out.shape[0] - padding, padding : out.shape[1] - padding]


def _nearest_neighbour(image, kernel, stride=1, padding=0):
    larger = image.repeat_interleave(stride, dim=0).repeat_interleave(stride, dim=1)
    return _plain_convolution(larger, kernel, padding=padding)


def _right_on(*settings):
    height, width, k, stride, padding = settings
    args = draw.fixed(height, width), draw.fixed(k, k, seed=k), stride, padding
    return lambda function: close(function(*args), conv_transpose2d(*args))


def _two_stamps(function, *settings):
    image, kernel = torch.tensor([[1.0, 2.0]]), torch.tensor([[1.0, 0.0], [3.0, 5.0]])
    return function(image, kernel, *settings).tolist() == [[1, 2, 0], [3, 11, 10]]


def _one_stamp(function):
    kernel = torch.tensor([[6.0, 7.0], [8.0, 9.0]])
    return function(torch.tensor([[2.0]]), kernel, 1, 0).tolist() == [[12, 14], [16, 18]]


stamping = Exercise(
    conv_transpose2d,
    inputs=_an_image_and_a_kernel,
    returns="((H − 1)·stride + k − 2·padding, (W − 1)·stride + k − 2·padding), the sum of all "
    "stamps, cropped; differentiable in image and kernel",
    gradient=("image", "kernel"),
    chapter=2, minutes=15, difficulty=2, cases=6, rtol=1e-3, atol=1e-4,
)  # fmt: skip
stamping.mistake("overwritten", edit=("+=", "="),
                 hint="Where stamps overlap, the later one replaced the earlier one (`=`). They "
                      "add up: every pixel has a say in the cells it touches.")
stamping.mistake("overlaps-averaged",
                 edit=[("    for row in", "    count = torch.zeros_like(out)\n    for row in"),
                       ("            out[top",
                        "            count[top : top + k, left : left + k] += 1\n            "
                        "out[top"),
                       ("return out", "return (out / count.clamp(min=1))")],
                 hint="The overlapping stamps were averaged. They are summed: that the sum is "
                      "uneven is the very cause of checkerboards.")
stamping.mistake("kernel-rotated", edit=("* kernel", "* kernel.flip(0, 1)"),
                 hint="The kernel lands rotated by 180°. A stamp is the kernel as it is. (The "
                      "rotation belongs to the other route: there you stuff zeros and convolve "
                      "with the rotated kernel.)")
stamping.mistake("kernel-transposed", edit=("* kernel", "* kernel.T"),
                 hint="The kernel lands mirrored at its diagonal (`.T`). It is the big matrix C "
                      "that gets transposed, not the little kernel.")
stamping.mistake("axes-swapped", edit=("height, width =", "image = image.T\n    height, width ="),
                 hint="Rows and columns are swapped: the image was read as image[column, row]. A "
                      "square test image hides that.")
stamping.mistake("square-taken-for-granted",
                 edit=("height, width = image.shape", "height = width = len(image)"),
                 hint="Height and width are taken to be the same, so this works on square images "
                      "only: image.shape has a number for each.")
stamping.mistake("pixel-ignored", edit=("image[row, column] *", ""),
                 hint="Every stamp has the same strength. It is to be multiplied by the pixel it "
                      "belongs to.")
stamping.mistake("stride-ignored",
                 edit=[("(height - 1) * stride + k, (width - 1) * stride + k",
                        "height - 1 + k, width - 1 + k"),
                       ("row * stride, column * stride", "row, column")],
                 hint="The stride is not used: stamps start `stride` cells apart, in both "
                      "directions.")
stamping.mistake("stride-only-in-the-size", edit=("row * stride, column * stride", "row, column"),
                 hint="The canvas has the right size, but the stamps land 1 cell apart instead of "
                      "`stride`, and the rest stays empty.")
stamping.mistake("canvas-too-large",
                 edit=("(height - 1) * stride + k, (width - 1) * stride + k",
                       "height * stride + k, width * stride + k"),
                 hint="The canvas is one stride too long: size stamps are size − 1 strides apart. "
                      "Rows and columns that no stamp reaches are left at the end.")
stamping.mistake("padding-ignored",
                 edit=("[padding : out.shape[0] - padding, padding : out.shape[1] - padding]", ""),
                 hint="Padding is not used. It crops that many rows and columns at each of the "
                      "four edges.")
stamping.mistake("padding-grows",
                 edit=("out[padding : out.shape[0] - padding, padding : out.shape[1] - padding]",
                       "F.pad(out, 4 * [padding])"),
                 hint="Padding added a frame of zeros around the result. In a transposed "
                      "convolution it takes a frame *away*.")
stamping.mistake("input-padded",
                 edit=[("height, width =",
                        "image = F.pad(image, 4 * [padding])\n    height, width ="),
                       ("[padding : out.shape[0] - padding, padding : out.shape[1] - padding]",
                        "")],
                 hint="The image was padded with zeros first, as for an ordinary convolution. "
                      "Here padding acts on the result, and crops it.")
stamping.mistake("cropped-at-the-start-only",
                 edit=("[padding : out.shape[0] - padding, padding : out.shape[1] - padding]",
                       "[padding:, padding:]"),
                 hint="Padding was cropped at the top and left only; the bottom and the right "
                      "lose as much.")
stamping.mistake("cropped-at-the-end-only",
                 edit=("[padding : out.shape[0] - padding, padding : out.shape[1] - padding]",
                       "[: out.shape[0] - padding, : out.shape[1] - padding]"),
                 hint="Padding was cropped at the bottom and right only; the top and the left "
                      "lose as much.")
stamping.mistake("cropped-twice-as-much",
                 edit=("[padding : out.shape[0] - padding, padding : out.shape[1] - padding]",
                       "[2 * padding : len(out) - 2 * padding, 2 * padding : out.shape[1] - 2 "
                       "* padding]"),
                 hint="Twice the padding was cropped at each edge. 2·padding is the loss of both "
                      "edges together.")
stamping.mistake("minus-zero",
                 edit=("[padding : out.shape[0] - padding, padding : out.shape[1] - padding]",
                       "[padding:-padding, padding:-padding]"),
                 hint="Without padding the result is empty: `out[p:-p]` with p = 0 is `out[0:0]`, "
                      "since -0 is 0. Count the end from the front.")
stamping.mistake("returned-after-one-stamp", edit=("    return out", "            return out"),
                 hint="Only the first stamp is there: the `return` stands inside the inner loop "
                      "and ends it at once. It belongs below both loops.")
stamping.mistake("returned-after-one-row", edit=("    return out", "        return out"),
                 hint="Only the stamps of the first row are there: the `return` stands inside the "
                      "outer loop. It belongs below both loops.")
stamping.mistake("plain-convolution", function=_plain_convolution,
                 hint="This is the ordinary convolution: the kernel slides over the image and the "
                      "result gets smaller. Here each pixel sends out a stamp.")
stamping.mistake("stamps-side-by-side", function=_side_by_side,
                 hint="The stamps lie side by side, k cells apart. They start `stride` cells "
                      "apart, and overlap where the kernel is larger than the stride.")
stamping.mistake("upsampled-then-convolved", function=_nearest_neighbour,
                 hint="The pixels were repeated, then convolved. That is a useful layer (Upsample "
                      "+ Conv), but another one: a stamp belongs to one pixel.")
stamping.must("one-stamp", _one_stamp,
              hint="Begin with a single pixel: the image [[2]] must give 2 · kernel, the kernel "
                   "as it is, once.")
stamping.must("two-stamps", lambda f: _two_stamps(f, 1, 0),
              hint="Two pixels [[1, 2]] with the kernel [[1, 0], [3, 5]], stride 1 and no padding "
                   "must give [[1, 2, 0], [3, 11, 10]]: two stamps, one column apart, summed "
                   "where they overlap.")
stamping.must("strided", _right_on(2, 3, 3, 2, 0),
              hint="A 2 × 3 image, a 3 × 3 kernel, stride = 2 and no padding go wrong; the shape "
                   "should be (5, 7).")
stamping.must("cropped", _right_on(3, 4, 3, 2, 1),
              hint="A 3 × 4 image, a 3 × 3 kernel, stride = 2 and padding = 1 go wrong. The shape "
                   "should be (5, 7): without padding it is (7, 9), and one row or column goes at "
                   "each edge.")
stamping.must("gaps", _right_on(3, 2, 1, 3, 0),
              hint="With a stride larger than the kernel (3 and 1) the stamps don't touch: the "
                   "cells between them stay 0.")
stamping.must("defaults", _two_stamps,
              hint="Called as conv_transpose2d(image, kernel) it must use stride = 1 and padding "
                   "= 0: the signature's defaults.")

# --- overlap_count ---------------------------------------------------------------------------


def overlap_count(size, kernel, stride):
    count = torch.zeros((size - 1) * stride + kernel, dtype=torch.long)  # (out,)
    for pixel in range(size):
        count[pixel * stride : pixel * stride + kernel] += 1  # one more stamp lies here
    return count


def _a_long_kernel(g):
    stride = draw.integer(g, 2, 3)
    kernel = 2 * stride + draw.integer(g, 1, stride)
    return draw.integer(g, 7, 10), kernel, stride


def _interior_everywhere(size, kernel, stride):
    return torch.full(((size - 1) * stride + kernel,), -(-kernel // stride))


def _windows_of_a_convolution(size, kernel, stride):
    count = torch.zeros(size, dtype=torch.long)
    for start in range(0, size - kernel + 1, stride):
        count[start : start + kernel] += 1
    return count


def _count_is(size, kernel, stride, expected):
    return lambda function: function(size, kernel, stride).tolist() == expected


overlaps = Exercise(
    overlap_count,
    inputs=_a_long_kernel,
    returns="((size − 1)·stride + kernel,) integers, the number of stamps on each output cell",
    chapter=2, minutes=5, difficulty=1,
)  # fmt: skip
overlaps.mistake("touched-or-not", edit=("+= 1", "= 1"),
                 hint="This says whether a cell is touched at all. Count the stamps: add 1 for "
                      "each (`+=`, not `=`).")
overlaps.mistake("first-stamp-not-counted",
                 edit=("return count", "return (count - 1).clamp(min=0)"),
                 hint="The first stamp on a cell is not counted. A cell under one stamp has the "
                      "count 1.")
overlaps.mistake("stride-ignored",
                 edit=[("(size - 1) * stride", "(size - 1)"),
                       ("[pixel * stride : pixel * stride + kernel]",
                        "[pixel : pixel + kernel]")],
                 hint="The stride is not used: stamps start `stride` cells apart.")
overlaps.mistake("stride-only-in-the-size",
                 edit=("[pixel * stride : pixel * stride + kernel]", "[pixel : pixel + kernel]"),
                 hint="The result is as long as it should be, but the stamps lie 1 cell apart "
                      "instead of `stride`.")
overlaps.mistake("kernel-and-stride-swapped",
                 edit=("    count =", "    kernel, stride = stride, kernel\n    count ="),
                 hint="Kernel and stride are swapped: a stamp is `kernel` cells long, and stamps "
                      "start `stride` cells apart.")
overlaps.mistake("stamp-one-short", edit=("+ kernel]", "+ kernel - 1]"),
                 hint="Each stamp covers kernel − 1 cells: a slice ends before its end index.")
overlaps.mistake("last-stamp-missing", edit=("range(size)", "range(size - 1)"),
                 hint="One stamp is missing: there are `size` of them, size − 1 is the number of "
                      "steps between them.")
overlaps.mistake("only-the-starts",
                 edit=("[pixel * stride : pixel * stride + kernel]", "[pixel * stride]"),
                 hint="Only the first cell of each stamp is counted. A stamp covers `kernel` "
                      "cells.")
overlaps.mistake("one-stride-too-long", edit=("(size - 1) * stride", "size * stride"),
                 hint="The result is one stride too long: `size` stamps are size − 1 strides "
                      "apart.")
overlaps.mistake("cut-at-size-times-stride", edit=("return count", "return count[: size * stride]"),
                 hint="The result ends at size · stride. The last stamp reaches kernel − stride "
                      "cells further.")
overlaps.mistake("interior-everywhere", function=_interior_everywhere,
                 hint="The same number everywhere: near the ends there are fewer stamps, and "
                      "where stride doesn't divide kernel the middle alternates.")
overlaps.mistake("windows-of-a-convolution", function=_windows_of_a_convolution,
                 hint="You counted the windows of an ordinary convolution over `size` cells. Here "
                      "`size` is the short side: each of its pixels stamps.")
overlaps.mistake("two-dimensional", edit=("return count", "return torch.outer(count, count)"),
                 hint="This is the map of an image (the outer product). One dimension is asked "
                      "for: a vector.")
overlaps.mistake("as-floats", edit=(", dtype=torch.long", ""),
                 hint="The counts are right but they are decimal numbers: torch.zeros makes those "
                      "by default. Counts are integers.")
overlaps.mistake("a-share", edit=("return count", "return count / count.max().clamp(min=1)"),
                 hint="The counts are divided by their maximum. The counts themselves are asked "
                      "for.")
overlaps.must("one-stamp", _count_is(1, 3, 2, [1, 1, 1]),
              hint="A single stamp of 3 cells must give 1, 1, 1.")
overlaps.must("two-stamps", _count_is(2, 3, 2, [1, 1, 2, 1, 1]),
              hint="Two stamps of 3 cells, 2 apart, share one cell: 1, 1, 2, 1, 1.")
overlaps.must("three-deep", _count_is(3, 5, 2, [1, 1, 2, 2, 3, 2, 2, 1, 1]),
              hint="A long stamp reaches over more than its neighbour: 3 stamps of 5 cells, 2 "
                   "apart, give 1, 1, 2, 2, 3, 2, 2, 1, 1.")
overlaps.must("gaps", _count_is(3, 1, 2, [1, 0, 1, 0, 1]),
              hint="A stride larger than the kernel leaves cells that nothing touches: 3 stamps "
                   "of 1 cell, 2 apart, give 1, 0, 1, 0, 1.")
