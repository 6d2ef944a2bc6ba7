r"""Chapter 02: its exercises, the three routes, the explorer, and what the notebook defines."""

import itertools

import pytest
import torch
import torch.nn.functional as F

from check_tools import assert_both_named, assert_helped, assert_passes
from notebook_code import FOLDER, definitions
from vae_course import checks, models
from vae_course.admin.notebooks import read_notebook
from vae_course.widgets import transposed, transposed_explorer

reference_size = checks.exercise("conv_transpose_output_size").reference
reference_2d = checks.exercise("conv_transpose2d").reference
reference_count = checks.exercise("overlap_count").reference

# ------------------------------------------------------------ the references against torch


def sizes_and_settings():
    for k, stride, dilation in itertools.product(range(1, 6), range(1, 4), range(1, 4)):
        for padding, extra in itertools.product(range(4), range(max(stride, dilation))):
            for size in (1, 4):
                if (size - 1) * stride + dilation * (k - 1) + 1 + extra - 2 * padding > 0:
                    yield size, k, stride, padding, extra, dilation


def test_size_formula_is_torchs_for_every_setting():
    settings = list(sizes_and_settings())
    assert len(settings) > 700
    for size, k, stride, padding, extra, dilation in settings:
        ones = torch.ones(1, 1, size), torch.ones(1, 1, k)
        out = F.conv_transpose1d(*ones, None, stride, padding, extra, 1, dilation)
        assert out.shape[-1] == reference_size(size, k, stride, padding, extra, dilation)


@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("k", [1, 2, 3, 4, 5])
def test_stamping_is_torchs_transposed_convolution(k, stride):
    generator = torch.Generator().manual_seed(k)
    image = torch.randn(4, 6, generator=generator, dtype=torch.float64)
    kernel = torch.randn(k, k, generator=generator, dtype=torch.float64)
    for padding in range(min(k, 4)):
        right = F.conv_transpose2d(image[None, None], kernel[None, None], None, stride, padding)
        torch.testing.assert_close(reference_2d(image, kernel, stride, padding), right[0, 0])


def test_overlaps_are_the_transposed_convolution_of_ones():
    for size, k, stride in itertools.product(range(1, 6), range(1, 6), range(1, 4)):
        ones = torch.ones(1, 1, size), torch.ones(1, 1, k)
        right = F.conv_transpose1d(*ones, stride=stride)[0, 0].long()
        assert torch.equal(reference_count(size, k, stride), right)


# ------------------------------------------------------------ right answers written another way


def size_by_drawing(size, kernel, stride=1, padding=0, output_padding=0, dilation=1):
    starts = [pixel * stride for pixel in range(size)]
    cells = {start + entry * dilation for start in starts for entry in range(kernel)}
    return len(range(max(cells) + 1 + output_padding)) - padding - padding


def size_by_inverting(size, kernel, stride=1, padding=0, output_padding=0, dilation=1):
    out = 1
    while (out + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1 < size:
        out += 1
    return out + output_padding


def by_kernel_entries(image, kernel, stride=1, padding=0):
    k, (height, width) = len(kernel), image.shape
    full = torch.zeros((height - 1) * stride + k, (width - 1) * stride + k)
    for i in range(k):
        for j in range(k):
            rows = slice(i, i + height * stride - stride + 1, stride)
            columns = slice(j, j + width * stride - stride + 1, stride)
            full[rows, columns] += kernel[i, j] * image
    return full[padding:, padding:][: len(full) - 2 * padding, : full.shape[1] - 2 * padding]


def by_stuffing_zeros(image, kernel, stride=1, padding=0):
    height, width = image.shape
    comb = F.one_hot(torch.tensor(0), stride**2).view(stride, stride).float()
    stuffed = torch.kron(image, comb)[: (height - 1) * stride + 1, : (width - 1) * stride + 1]
    framed = F.pad(stuffed, 4 * [len(kernel) - 1 - padding])
    return F.conv2d(framed[None, None], kernel.flip(0, 1)[None, None])[0, 0]


def by_torch(image, kernel, stride=1, padding=0):
    return F.conv_transpose2d(image[None, None], kernel[None, None], None, stride, padding)[0, 0]


def count_by_comparing(size, kernel, stride):
    cells = torch.arange((size - 1) * stride + kernel)
    starts = torch.arange(size) * stride
    return ((cells >= starts[:, None]) & (cells < starts[:, None] + kernel)).sum(dim=0)


def count_by_bins(size, kernel, stride):
    cells = [start * stride + entry for start in range(size) for entry in range(kernel)]
    return torch.bincount(torch.tensor(cells), minlength=(size - 1) * stride + kernel)


def count_by_torch(size, kernel, stride):
    ones = torch.ones(1, 1, size), torch.ones(1, 1, kernel)
    return F.conv_transpose1d(*ones, stride=stride)[0, 0].int()


RIGHT = [
    ("conv_transpose_output_size", size_by_drawing),
    ("conv_transpose_output_size", size_by_inverting),
    ("conv_transpose2d", by_kernel_entries),
    ("conv_transpose2d", by_stuffing_zeros),
    ("conv_transpose2d", by_torch),
    ("overlap_count", count_by_comparing),
    ("overlap_count", count_by_bins),
    ("overlap_count", count_by_torch),
]


@pytest.mark.parametrize("name, function", RIGHT, ids=[f.__name__ for _, f in RIGHT])
def test_right_answer_written_another_way_passes(name, function):
    assert_passes(name, function, range(5))


# ------------------------------------------------------------ wrong answers that nobody listed


def size_brackets_forgotten(size, kernel, stride=1, padding=0, output_padding=0, dilation=1):
    return size - 1 * stride - 2 * padding + dilation * (kernel - 1) + output_padding + 1


def size_padding_times_stride(size, kernel, stride=1, padding=0, output_padding=0, dilation=1):
    return (size - 1 - 2 * padding) * stride + dilation * (kernel - 1) + output_padding + 1


def size_extra_times_stride(size, kernel, stride=1, padding=0, output_padding=0, dilation=1):
    return (size - 1) * stride - 2 * padding + dilation * (kernel - 1) + output_padding * stride + 1


def size_of_both_axes(size, kernel, stride=1, padding=0, output_padding=0, dilation=1):
    out = reference_size(size, kernel, stride, padding, output_padding, dilation)
    return out, out


def size_steps_of_the_kernel(size, kernel, stride=1, padding=0, output_padding=0, dilation=1):
    return (size - 1) * kernel - 2 * padding + dilation * (kernel - 1) + output_padding + 1


def size_with_an_upsamplers_default(
    size, kernel, stride=2, padding=0, output_padding=0, dilation=1
):
    return reference_size(size, kernel, stride, padding, output_padding, dilation)


def size_without_dilation(size, kernel_size, stride, padding, output_padding):
    return (size - 1) * stride - 2 * padding + kernel_size + output_padding


def stamps_as_numbers(image, kernel, stride=1, padding=0):
    k, (height, width) = len(kernel), image.shape
    out = torch.zeros((height - 1) * stride + k, (width - 1) * stride + k)
    for r in range(height):
        for c in range(width):
            out[r * stride : r * stride + k, c * stride : c * stride + k] += (
                image[r, c].item() * kernel
            )
    return out[padding : out.shape[0] - padding, padding : out.shape[1] - padding]


def stamps_on_a_square(image, kernel, stride=1, padding=0):
    k, (height, width) = len(kernel), image.shape
    side = (height - 1) * stride + k
    out = torch.zeros(side, side)
    for r in range(height):
        for c in range(width):
            out[r * stride : r * stride + k, c * stride : c * stride + k] += image[r, c] * kernel
    return out[padding : side - padding, padding : side - padding]


def stamps_centred(image, kernel, stride=1, padding=0):
    whole, half = reference_2d(image, kernel, stride, 0), len(kernel) // 2
    height, width = image.shape
    return whole[half : half + height * stride, half : half + width * stride]


def last_row_and_column_missing(image, kernel, stride=1, padding=0):
    cut = image.clone()
    cut[-1] = 0
    cut[:, -1] = 0
    return reference_2d(cut, kernel, stride, padding)


def stamps_multiplied(image, kernel, stride=1, padding=0):
    k, (height, width) = len(kernel), image.shape
    out = torch.ones((height - 1) * stride + k, (width - 1) * stride + k)
    for r in range(height):
        for c in range(width):
            out[r * stride : r * stride + k, c * stride : c * stride + k] *= image[r, c] * kernel
    return out[padding : out.shape[0] - padding, padding : out.shape[1] - padding]


def four_axes(image, kernel, stride=1, padding=0):
    return by_torch(image, kernel, stride, padding)[None, None]


def kernel_normalised(image, kernel, stride=1, padding=0):
    return reference_2d(image, kernel / kernel.sum(), stride, padding)


def stride_two_always(image, kernel, stride=1, padding=0):
    return reference_2d(image, kernel, 2, padding)


def count_as_a_list(size, kernel, stride):
    return reference_count(size, kernel, stride).tolist()


def count_of_neighbours_only(size, kernel, stride):
    return reference_count(size, kernel, stride).clamp(max=2)


def count_by_kernel_entry(size, kernel, stride):
    entries = torch.arange(1.0, kernel + 1).view(1, 1, -1)
    return F.conv_transpose1d(torch.ones(1, 1, size), entries, stride=stride)[0, 0].long()


def count_from_one(size, kernel, stride):
    count = torch.zeros((size - 1) * stride + kernel, dtype=torch.long)
    for pixel in range(1, size + 1):
        count[pixel * stride : pixel * stride + kernel] += 1
    return count


def count_as_if_padded(size, kernel, stride):
    crop = (kernel - 1) // 2
    return reference_count(size, kernel, stride)[crop:-crop]


def the_largest_count(size, kernel, stride):
    return int(reference_count(size, kernel, stride).max())


def started_so_far(size, kernel, stride):
    return torch.arange((size - 1) * stride + kernel) // stride + 1


UNLISTED = [
    ("conv_transpose_output_size", size_brackets_forgotten, "one stamp, 5 long"),
    ("conv_transpose_output_size", size_padding_times_stride, "padding = 1 crops one at each end"),
    ("conv_transpose_output_size", size_extra_times_stride, "output_padding = 1 makes 4"),
    ("conv_transpose_output_size", size_of_both_axes, "A tuple of 2 came back"),
    ("conv_transpose_output_size", size_steps_of_the_kernel, "stamps on cells 0–2 and 2–4"),
    ("conv_transpose_output_size", size_with_an_upsamplers_default, "stride=1, padding=0"),
    ("conv_transpose_output_size", size_without_dilation, "The signature is fixed"),
    ("conv_transpose2d", stamps_as_numbers, "no gradient reaches"),
    ("conv_transpose2d", stamps_on_a_square, "image ("),
    ("conv_transpose2d", stamps_centred, "(H − 1)·stride + k − 2·padding"),
    ("conv_transpose2d", last_row_and_column_missing, "single pixel"),
    ("conv_transpose2d", stamps_multiplied, "summed where they overlap"),
    ("conv_transpose2d", four_axes, "(1, 1, "),
    ("conv_transpose2d", kernel_normalised, "the kernel as it is"),
    ("conv_transpose2d", stride_two_always, "·stride"),
    ("overlap_count", count_as_a_list, "A list of"),
    ("overlap_count", count_of_neighbours_only, "more than its neighbour"),
    ("overlap_count", count_by_kernel_entry, "must give 1, 1, 1"),
    ("overlap_count", count_from_one, "must give 1, 1, 1"),
    ("overlap_count", count_as_if_padded, "(size − 1)·stride + kernel"),
    ("overlap_count", the_largest_count, "expected a tensor of shape"),
    ("overlap_count", started_so_far, "must give 1, 1, 1"),
]


@pytest.mark.parametrize(
    "name, function, words", UNLISTED, ids=[function.__name__ for _, function, _ in UNLISTED]
)
def test_wrong_answer_that_nobody_listed_gets_a_useful_hint(name, function, words):
    assert_helped(name, function, words)


PAIRS = [
    ("conv_transpose_output_size", "steps-as-many-as-pixels", "padding-ignored"),
    ("conv_transpose_output_size", "dilation-forgotten", "output-padding-dropped"),
    ("conv_transpose_output_size", "padding-grows", "dilation-forgotten"),
    ("conv_transpose2d", "overwritten", "padding-ignored"),
    ("conv_transpose2d", "overwritten", "kernel-rotated"),
    ("conv_transpose2d", "overwritten", "stride-ignored"),
    ("conv_transpose2d", "kernel-rotated", "padding-grows"),
    ("conv_transpose2d", "kernel-transposed", "axes-swapped"),
    ("overlap_count", "touched-or-not", "stride-ignored"),
    ("overlap_count", "last-stamp-missing", "as-floats"),
]


@pytest.mark.parametrize("name, first, second", PAIRS)
def test_pair_of_slips_is_named(name, first, second):
    assert_both_named(name, first, second)


# ------------------------------------------------------------ the notebook against torch

NOTEBOOK, COMPANION = "02_transposed_convolution", "02b_transposed_convolution_deeper"
ROUTES = definitions(COMPANION, "stamped", "stuffed", "conv_matrix")


@pytest.mark.parametrize("k", [1, 2, 3, 4, 5])
def test_three_routes_are_torchs_for_every_setting(k):
    generator = torch.Generator().manual_seed(k)
    image = torch.randn(4, 3, generator=generator, dtype=torch.float64)
    kernel = torch.randn(k, k, generator=generator, dtype=torch.float64)
    seen = 0
    for stride, dilation, padding in itertools.product((1, 2, 3), (1, 2, 3), range(5)):
        for extra in range(max(stride, dilation)):
            if reference_size(3, k, stride, padding, extra, dilation) < 1:
                continue
            shared = {"stride": stride, "padding": padding, "dilation": dilation}
            whole = shared | {"output_padding": extra}
            right = F.conv_transpose2d(image[None, None], kernel[None, None], **whole)[0, 0]
            for route in (ROUTES.stamped, ROUTES.stuffed):
                mine = route(image, kernel, **whole)
                torch.testing.assert_close(mine, right)
            matrix = ROUTES.conv_matrix(kernel, right.shape, image.shape, **shared)
            torch.testing.assert_close((matrix.T @ image.flatten()).view(right.shape), right)
            seen += 1
    assert seen >= 50


def test_adjoint_identity_of_stamping():
    generator = torch.Generator().manual_seed(3)
    for k, stride, padding in itertools.product((1, 2, 3, 4, 5), (1, 2, 3), (0, 1)):
        kernel = torch.randn(k, k, generator=generator, dtype=torch.float64)
        small = torch.randn(5, 7, generator=generator, dtype=torch.float64)
        back = reference_2d(small, kernel, stride, padding)
        large = torch.randn(back.shape, generator=generator, dtype=torch.float64)
        shrunk = F.conv2d(large[None, None], kernel[None, None], None, stride, padding)[0, 0]
        assert abs((shrunk * small).sum() - (large * back).sum()) < 1e-6


def test_notebooks_matrix_is_the_convolution():
    notebook = definitions(NOTEBOOK, "conv_matrix_1d")
    kernel, signal = torch.tensor([2.0, -1, 5]), torch.randn(11)
    matrix = notebook.conv_matrix_1d(kernel, 11, stride=2)
    right = F.conv1d(signal[None, None], kernel[None, None], stride=2)[0, 0]
    torch.testing.assert_close(matrix @ signal, right)


def test_lessons_zero_stuffing_is_the_companions():
    lesson = definitions(NOTEBOOK, "stuffed")
    image, kernel = torch.randn(3, 5), torch.randn(4, 4)
    for stride in (1, 2, 3):
        plain = {"padding": 0, "output_padding": 0, "dilation": 1}
        right = ROUTES.stuffed(image, kernel, stride=stride, **plain)
        torch.testing.assert_close(lesson.stuffed(image, kernel, stride), right)


@pytest.mark.parametrize("name", [NOTEBOOK, COMPANION])
def test_notebooks_phase_sums_decide_about_flatness(name):
    notebook = definitions(name, "phase_sums")
    for k, stride in itertools.product((2, 3, 4, 5, 6), (2, 3)):
        kernel = torch.randn(k, k, generator=torch.Generator().manual_seed(k), dtype=torch.float64)
        ones = torch.ones(1, 1, 9, 9, dtype=torch.float64)
        out = F.conv_transpose2d(ones, kernel[None, None], stride=stride)[0, 0]
        start = 2 * stride  # beyond the rim, at a cell of phase 0
        inner = out[start : start + stride, start : start + stride]
        torch.testing.assert_close(inner.flatten(), notebook.phase_sums(kernel, stride))


@pytest.mark.parametrize("name", [NOTEBOOK, COMPANION])
def test_notebooks_decoder_layers_double_the_size(name):
    layers = ["kernel_3", "kernel_4", "tent_start", "upsample_conv"]
    layers += ["pixel_shuffle", "pixel_shuffle_icnr"] if name == COMPANION else []
    helpers = ["tent_4"] if name == COMPANION else ["tent_1d", "tent_4"]
    notebook = definitions(name, *layers, *helpers)
    for layer in layers:
        doubled = getattr(notebook, layer)(5, 3)(torch.randn(2, 5, 7, 7))
        assert doubled.shape == (2, 3, 14, 14), layer


@pytest.fixture
def deal_out():
    """The folded solution of 02b's own exercise, which torch judges, not the checker."""
    cells = read_notebook(FOLDER / f"{COMPANION}.ipynb")["cells"]
    (folded,) = (c["source"] for c in cells if c["source"].startswith("<details><summary>Solution"))
    own = {}
    exec(folded.split("```python\n")[1].split("```")[0], own)
    return own["deal_out"]


def told_by_the_companion(deal_out, capsys):
    cells = read_notebook(FOLDER / f"{COMPANION}.ipynb")["cells"]
    (judge,) = (c["source"] for c in cells if c["source"].startswith("maps = torch.arange(144.0)"))
    exec(judge, known := {"torch": torch, "F": F, "deal_out": deal_out})
    told = capsys.readouterr().out.strip()
    assert known["deal_out"] is (deal_out if told.endswith("right") else F.pixel_shuffle)
    return told


def test_companions_dealing_is_pixel_shuffle(deal_out, capsys):
    for stride in (1, 2, 3):
        maps = torch.randn(2, 5 * stride**2, 3, 4)
        torch.testing.assert_close(deal_out(maps, stride), F.pixel_shuffle(maps, stride))
    assert told_by_the_companion(deal_out, capsys) == "deal_out: right"


@pytest.mark.parametrize("wrong, told", [
    (lambda maps, s: None, "not attempted yet"),
    (lambda maps, s: maps, "shape (2, 12, 2, 3), expected (2, 3, 4, 6)"),
    (lambda maps, s: maps.reshape(2, 3, 4, 6), "numbers of 144 in the wrong place"),
    (lambda maps, s: maps.reshape(2, 5, 4, 6), "stopped with RuntimeError: shape '[2, 5, 4, 6]'"),
    # rows taken for columns: every second number is wrong, as the solution's text says
    (lambda maps, s: F.pixel_shuffle(maps.mT, s).mT, "72 numbers of 144 in the wrong place"),
])  # fmt: skip
def test_companions_judge_finds_wrong_dealing(wrong, told, capsys):
    assert told in told_by_the_companion(wrong, capsys)


def test_first_screens_kernels_are_what_the_text_says():
    ones, tent = torch.ones(3, 3) / 2.25, torch.tensor([1.0, 3, 3, 1]) / 4
    sums = definitions(NOTEBOOK, "phase_sums").phase_sums
    assert sums(torch.outer(tent, tent), 2).tolist() == [1, 1, 1, 1]
    assert len(set(sums(ones, 2).tolist())) > 1 and abs(sums(ones, 2).mean() - 1) < 1e-6


# ------------------------------------------------------------ the challenge


def test_challenge_counts_weights_and_measures(capsys):
    torch.manual_seed(0)
    assert not checks.challenge("02", models.ConvAutoencoder(16, channels=8)).passed
    told = " ".join(capsys.readouterr().out.replace("│", "").split())
    assert "86% of its 30,273 weights sit in dense layers" in told and "can still learn" in told
    for model in (models.ConvAutoencoder(16, channels=16), models.ConvAutoencoder(17, channels=8)):
        assert checks.challenge("02", model).status == "error"
    told = " ".join(capsys.readouterr().out.replace("│", "").split())
    assert "68,721 weights" in told and "(1000, 17)" in told


# ------------------------------------------------------------ the explorer


@pytest.fixture(scope="module")
def explorer():
    return transposed_explorer()


def test_every_control_changes_the_picture(explorer):
    start = explorer.picture()
    moves = {"size": 3, "kernel": 2, "stride": 1, "padding": 1, "output_padding": 1, "step": 2}
    assert moves.keys() == explorer.controls.keys()
    for name, value in moves.items():
        assert explorer.picture(**{name: value}) != start, name
    assert explorer.picture() == start


@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("k", [1, 2, 3, 4, 5])
def test_explorers_formula_sums_and_counts_are_torchs(explorer, k, stride):
    for size, padding, extra in itertools.product((1, 2, 3), (0, 1, 2, 3), (0, 1, 2)):
        out = transposed.output_size(size, k, stride, padding, extra)
        text = transposed.formula(size, k, stride, padding, extra)
        left, right = text.replace("−", "-").split(" = ")
        assert eval(left.replace("·", "*")) == int(right) == out
        setting = {"size": size, "kernel": k, "stride": stride, "padding": padding}
        words = explorer.words(**setting, output_padding=extra)
        assert text in words
        refused = out < 1 or extra >= stride
        assert ("Torch refuses" in words) == refused
        if refused:
            continue
        image, kernel = transposed.example_image(size), transposed.example_kernel(k)
        arguments = [torch.tensor(x, dtype=torch.float32)[None, None] for x in (image, kernel)]
        whole = F.conv_transpose2d(*arguments, None, stride, padding, extra)[0, 0]
        total, count = transposed.stamps(size, k, stride, extra, size * size)
        kept = slice(padding, len(total) - padding)
        assert torch.equal(torch.tensor(total[kept, kept]).float(), whole)
        ones = F.conv_transpose2d(*map(torch.ones_like, arguments), None, stride, padding, extra)
        assert torch.equal(torch.tensor(count[kept, kept]).float(), ones[0, 0])


def test_the_famous_case_in_words(explorer):
    words = explorer.words(step=3)
    assert "Output side = (2 − 1) · 2 + 3 − 2 · 0 + 0 = 5." in words
    assert "Stamp 3 of 4, 3 · kernel, lies on rows 2 to 4 and columns 0 to 2." in words
    words = explorer.words(padding=1, output_padding=1)
    assert "(2 − 1) · 2 + 3 − 2 · 1 + 1 = 4." in words


def test_fewer_pixels_mean_fewer_steps(explorer):
    explorer.set(size=3, step=9)
    explorer.set(size=1)
    assert explorer.values["step"] == 1
    box, slider = explorer.rows["step"].holders[:2]
    assert box.max == slider.max == 1


def test_box_and_slider_move_the_picture():
    explorer = transposed_explorer()
    box, slider = explorer.rows["kernel"].holders
    before = explorer.image.value
    box.value = 4
    assert slider.value == 4 and explorer.image.value != before
    assert explorer.image.value == explorer.picture(kernel=4)
    slider.value = 3
    assert box.value == 3 and explorer.image.value == before
