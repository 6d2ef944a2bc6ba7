"""Figures: what they say in words, what they refuse, and that their pixels are the data."""

import base64
import io
from html.parser import HTMLParser

import matplotlib
import nbconvert
import nbformat
import numpy as np
import pytest
import torch
from IPython.utils.capture import capture_output
from matplotlib.figure import Figure
from packaging.version import Version
from PIL import Image

from vae_course import plots
from vae_course.plots.pictures import CSS_DPI, DPI, checked_pixels, figure_picture, small_png

ALT = "A line that rises from 0 to 1 and stays there."


def line():
    figure = Figure()
    figure.add_subplot().plot([0, 1, 1])
    return figure


def shown(figure, alt=ALT):
    """The picture that `show` displays, and the line under it."""
    with capture_output() as captured:
        plots.show(figure, alt=alt)
    picture, caption = captured.outputs
    assert (
        captured.stdout == "" and caption.data["text/plain"] == f"Figure: {' '.join(alt.split())}"
    )
    return caption.data["text/markdown"], picture.data, picture.metadata


def test_show_stores_alt_text_and_shows_it_once(shell):
    caption, data, metadata = shown(line())
    assert metadata["image/png"]["alt"] == ALT
    assert caption == f"*Figure:* {ALT}"
    picture = Image.open(io.BytesIO(base64.b64decode(data["image/png"])))
    assert metadata["image/png"]["width"] == round(picture.width * CSS_DPI / DPI)


def test_alt_text_is_one_line(shell):
    caption, _, metadata = shown(line(), alt="A line that rises\n    from 0 to 1.")
    assert metadata["image/png"]["alt"] == "A line that rises from 0 to 1."
    assert "\n" not in caption


def test_a_caption_is_words_and_not_markdown(shell):
    caption, *_ = shown(line(), alt="From $2 to $3, a*b*c, `x`, [y] and x_1 < x_2: a line.")
    written = r"From \$2 to \$3, a\*b\*c, \`x\`, \[y\] and x\_1 &lt; x\_2: a line."
    assert caption == f"*Figure:* {written}"


def test_text_beside_the_picture_is_our_own_and_constant(shell):
    _, first, _ = shown(line())
    _, second, _ = shown(line())
    assert first["text/plain"] == second["text/plain"]
    assert "object at" not in first["text/plain"] and "Figure size" not in first["text/plain"]


def test_same_figure_gives_the_same_bytes(shell):
    assert shown(line())[1]["image/png"] == shown(line())[1]["image/png"]


def test_nbconvert_puts_the_alt_text_into_html(shell):
    """Its classic template does; the lab template drops it, and the caption stands in."""
    _, data, metadata = shown(line(), alt='Points "inside" a <circle> of radius 1.')
    output = nbformat.v4.new_output("display_data", data=data, metadata=metadata)
    cell = nbformat.v4.new_code_cell("plots.show(…)", outputs=[output])
    pages = nbconvert.HTMLExporter(template_name="classic")
    page, _ = pages.from_notebook_node(nbformat.v4.new_notebook(cells=[cell]))
    found = []
    parser = HTMLParser()
    parser.handle_starttag = lambda tag, attrs: found.append(dict(attrs)) if tag == "img" else None
    parser.feed(page)
    assert [image["alt"] for image in found] == ['Points "inside" a <circle> of radius 1.']


def test_terminal_gets_the_line_alone(capsys):
    plots.show(line(), alt=ALT)
    assert capsys.readouterr().out == f"Figure: {ALT}\n"


def test_show_closes_the_figure():
    import matplotlib.pyplot as plt

    figure, _ = plt.subplots()
    assert plt.fignum_exists(figure.number)
    plots.show(figure, alt=ALT)
    assert not plt.fignum_exists(figure.number)


@pytest.mark.parametrize("alt", ["", "   ", "loss curve", "x" * 20, " " * 30, None])
def test_alt_text_too_short(alt):
    with pytest.raises(ValueError, match="more than 20 characters"):
        plots.show(line(), alt=alt)


def test_show_names_what_it_got():
    with pytest.raises(TypeError, match="got a list; expected a matplotlib Figure"):
        plots.show([1, 2], alt=ALT)


def test_axes_stand_for_their_figure(capsys):
    plots.show(line().axes[0], alt=ALT)
    assert ALT in capsys.readouterr().out


def test_a_stored_line_plot_is_small(shell):
    xs = np.arange(50)
    series = {f"series {n}": np.sqrt(xs + n) for n in range(4)}
    figure = plots.curves(xs, series, xlabel="epoch", ylabel="loss (nats / image)")
    _, data, _ = shown(figure)
    assert len(data["image/png"]) < 50_000  # twenty of them make 1 MB


def test_palette_keeps_one_red_dot_and_every_grey():
    pixels = np.repeat(np.arange(256, dtype=np.uint8)[:, None, None], 3, axis=2)
    pixels = np.repeat(pixels, 300, axis=1)
    pixels[7, 9] = (213, 94, 0)
    stored = Image.open(io.BytesIO(small_png(Image.fromarray(pixels))))
    assert stored.mode == "P"
    found = np.asarray(stored.convert("RGB")).astype(int)
    assert abs(found - pixels).max() <= 1
    assert tuple(found[7, 9]) == (213, 94, 0)


def test_photograph_is_stored_as_it_is():
    noise = np.random.default_rng(0).integers(0, 256, (80, 80, 3), dtype=np.uint8)
    stored = Image.open(io.BytesIO(small_png(Image.fromarray(noise))))
    assert (np.asarray(stored) == noise).all()


def test_house_style_changes_what_is_drawn_next():
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        before = Figure().get_size_inches().tolist()
        plots.use_house_style()
        assert Figure().get_size_inches().tolist() == list(plots.HOUSE_STYLE["figure.figsize"])
        assert before != list(plots.HOUSE_STYLE["figure.figsize"])


def test_palette_is_okabe_ito_and_looks_differ():
    assert set(plots.PALETTE) == {
        *("#0072B2", "#D55E00", "#009E73", "#CC79A7"),
        *("#E69F00", "#56B4E9", "#000000", "#F0E442"),
    }
    assert len(set(plots.MARKERS)) == len(plots.MARKERS) >= 10
    assert len(set(plots.LINE_STYLES)) == len(plots.LINE_STYLES) == len(plots.PALETTE)


# --- image_grid -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "row",
    [
        torch.rand(4, 1, 6, 5),
        torch.rand(4, 6, 5, requires_grad=True),
        torch.rand(4, 3, 6, 5),
        np.random.default_rng(0).random((4, 6, 5)),
    ],
    ids=["(N,1,H,W)", "(N,H,W) with gradient", "colour", "numpy"],
)
def test_grid_takes_every_layout(row):
    figure = plots.image_grid([row, row], labels=["before", "after"])
    assert len(figure.axes) == 2
    assert [text.get_text() for text in figure.texts if text.get_text()] == ["before", "after"]


@pytest.mark.skipif(
    Version(matplotlib.__version__) < Version("3.10"),
    reason="Matplotlib 3.9 puts the border between two rows of an image a pixel off",
)
def test_grid_shows_the_very_pixels():
    images = torch.arange(12).reshape(2, 1, 2, 3) / 11
    figure = plots.image_grid([images], scale=3)
    strip = np.asarray(figure_picture(figure).convert("L")).astype(int)
    expected = (images.numpy()[0, 0] * 255).round().astype(int).repeat(3, 0).repeat(3, 1)
    rows = range(strip.shape[0] - 5)
    columns = range(strip.shape[1] - 8)
    assert any((strip[r : r + 6, c : c + 9] == expected).all() for r in rows for c in columns)


def test_one_tensor_is_one_row():
    assert len(plots.image_grid(torch.rand(5, 1, 8, 8)).axes) == 1


def test_grid_labels_its_columns():
    figure = plots.image_grid([torch.rand(2, 4, 4)], column_labels=["k = 2", "k = 8"], title="PCA")
    assert {text.get_text() for text in figure.texts} == {"PCA", "k = 2", "k = 8"}


@pytest.mark.parametrize(
    ("rows", "options", "message"),
    [
        ([], {}, "no rows"),
        ([torch.rand(784)], {}, r"expected \(N, 1, H, W\)"),
        ([torch.rand(4, 2, 8, 8)], {}, r"expected \(N, 1, H, W\)"),
        ([torch.rand(0, 1, 8, 8)], {}, "nothing to draw"),
        ([torch.rand(3, 8, 8), torch.rand(4, 8, 8)], {}, "cut the longer one"),
        ([torch.rand(3, 8, 8)], {"labels": ["a", "b"]}, "expected 1 of them, one a row"),
        ([torch.rand(3, 8, 8)], {"labels": "a"}, "expected 1 of them, one a row"),
        ([torch.rand(3, 8, 8)], {"column_labels": ["a"]}, "expected 3 of them, one a column"),
        ([torch.rand(3, 8, 8) + 1], {}, "expected 0 to 1"),
        ([torch.full((3, 8, 8), torch.nan)], {}, "NaN"),
        ([torch.full((3, 8, 8), torch.nan)], {"clip": True}, "NaN"),
    ],
)
def test_grid_says_what_is_wrong(rows, options, message):
    with pytest.raises(ValueError, match=message):
        plots.image_grid(rows, **options)


def test_values_are_cut_only_when_asked():
    images = np.array([[[-1.0, 0.5, 2.0]]])
    assert checked_pixels(images, clip=True).tolist() == [[[0, 128, 255]]]
    with pytest.raises(ValueError, match=r"-1 to 2.*torch.sigmoid"):
        checked_pixels(images, clip=False)


# --- latent_map -----------------------------------------------------------------------------------


def test_map_draws_each_digit_as_itself():
    codes = torch.randn(50, 2, requires_grad=True)
    digits = torch.arange(50) % 10
    figure = plots.latent_map(codes, digits, "0123456789", title="codes")
    (axes,) = figure.axes
    assert len(axes.collections) == 10
    assert len({c.get_paths()[0].vertices.tobytes() for c in axes.collections}) == 10  # ten glyphs
    assert [text.get_text() for text in axes.texts] == list("0123456789")
    assert axes.get_xlabel() and axes.get_ylabel()
    drawn = np.concatenate([c.get_offsets() for c in axes.collections])
    assert np.allclose(np.sort(drawn[:, 0]), np.sort(codes.detach().numpy()[:, 0]))


def test_map_gives_long_names_a_marker_each():
    names = [f"class number {n}" for n in range(10)]
    figure = plots.latent_map(torch.randn(50, 2), torch.arange(50) % 10, names)
    shapes = {c.get_paths()[0].vertices.tobytes() for c in figure.axes[0].collections}
    looks = {
        (c.get_paths()[0].vertices.tobytes(), tuple(c.get_facecolor()[0]))
        for c in figure.axes[0].collections
    }
    assert len(shapes) == len(looks) == 10


def test_ten_classes_have_ten_colours():
    for names in ("0123456789", [f"class {n}" for n in range(10)]):
        figure = plots.latent_map(torch.randn(50, 2), torch.arange(50) % 10, names)
        (axes,) = figure.axes
        colours = np.array([c.get_facecolor()[0][:3] for c in axes.collections])
        apart = np.abs(colours[:, None] - colours[None]).sum(axis=-1)
        assert apart[~np.eye(10, dtype=bool)].min() > 0.3
        assert min(text.zorder for text in axes.texts) > 10  # over a caller's own ellipses


def test_names_on_the_map_do_not_cover_one_another():
    figure = plots.latent_map(torch.randn(100, 2) * 0.1, torch.arange(100) % 10, "0123456789")
    figure.draw_without_rendering()
    boxes = [text.get_window_extent() for text in figure.axes[0].texts]
    for number, box in enumerate(boxes):
        for other in boxes[number + 1 :]:
            across = min(box.x1, other.x1) - max(box.x0, other.x0)
            along = min(box.y1, other.y1) - max(box.y0, other.y0)
            assert min(across, along) < 2


def test_map_draws_on_given_axes():
    axes = Figure().add_subplot()
    assert plots.latent_map(torch.randn(3, 2), torch.arange(3), "abc", ax=axes) is axes.figure


@pytest.mark.parametrize(
    ("latents", "labels", "message"),
    [
        (torch.randn(4, 3), torch.zeros(4), r"expected \(N, 2\)"),
        (torch.randn(4, 2), torch.zeros(3), r"expected \(N, 2\)"),
        (torch.randn(4, 2), torch.tensor([0, 1, 2, 3]), "3 class names"),
        (torch.randn(4, 2), torch.tensor([0, 1, 2, -1]), "3 class names"),
    ],
)
def test_map_says_what_is_wrong(latents, labels, message):
    with pytest.raises(ValueError, match=message):
        plots.latent_map(latents, labels, "abc")


# --- curves ---------------------------------------------------------------------------------------


def test_curves_differ_in_colour_marker_and_style():
    series = {str(n): [n, n + 1, n + 2] for n in range(8)}
    figure = plots.curves([1, 2, 3], series, xlabel="epoch", ylabel="KL (nats / image)")
    lines = figure.axes[0].lines
    for look in ("get_color", "get_marker"):
        assert len({getattr(drawn, look)() for drawn in lines}) == 8
    assert len({str(drawn._dash_pattern) for drawn in lines}) == 8
    legend = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    assert legend == list(series)
    assert figure.axes[0].get_ylabel() == "KL (nats / image)"


def test_a_single_curve_needs_no_legend():
    figure = plots.curves([1, 2], {"loss": [2, 1]}, xlabel="epoch", ylabel="loss", log_y=True)
    assert figure.axes[0].get_legend() is None
    assert figure.axes[0].get_yscale() == "log"


def ticks(axis):
    axis.figure.draw_without_rendering()
    labels = [*axis.get_majorticklabels(), *axis.get_minorticklabels()]
    return [text.get_text() for text in labels if text.get_text()]


@pytest.mark.parametrize(
    ("xs", "expected"),
    [
        ([2, 4, 8, 16, 32], ["2", "4", "8", "16", "32"]),
        ([0.25, 1, 4], ["0.25", "1", "4"]),
        ([1, 10, 100, 1000], ["1", "10", "100", "1,000"]),
    ],
)
def test_a_logarithmic_axis_names_its_values(xs, expected):
    figure = plots.curves(xs, {"error": xs}, xlabel="k", ylabel="error", log_x=True, log_y=True)
    assert ticks(figure.axes[0].xaxis) == expected
    assert not any("10^" in label or "times" in label for label in ticks(figure.axes[0].yaxis))


def test_many_values_get_round_ticks():
    xs = np.arange(3, 60)
    figure = plots.curves(xs, {"error": xs}, xlabel="k", ylabel="error", log_x=True)
    assert {"5", "10", "20", "50"} <= set(ticks(figure.axes[0].xaxis))
    figure = plots.curves(
        10.0 ** np.arange(-8, 9), {"a": np.arange(17)}, xlabel="k", ylabel="y", log_x=True
    )
    shown = ticks(figure.axes[0].xaxis)
    # Powers of ten alone; of which exponents differs between Matplotlib's releases.
    exponents = np.log10([float(text.replace(",", "")) for text in shown])
    assert len(shown) >= 5 and np.allclose(exponents, exponents.round(), atol=1e-9)


def test_bands_surround_their_curve():
    figure = plots.curves(
        [1, 2], {"loss": [2, 1]}, xlabel="x", ylabel="y", bands={"loss": ([1, 0], [3, 2])}
    )
    (band,) = figure.axes[0].collections
    assert band.get_paths()[0].vertices[:, 1].min() == 0


@pytest.mark.parametrize(
    ("xs", "series", "bands", "message"),
    [
        ([1, 2], {"loss": [1, 2, 3]}, None, "'loss' has shape"),
        ([], {"loss": []}, None, "nothing to draw"),
        ([1], {}, None, "nothing to draw"),
        ([1], {"loss": [1]}, {"kl": ([1], [1])}, "no series"),
    ],
)
def test_curves_say_what_is_wrong(xs, series, bands, message):
    with pytest.raises(ValueError, match=message):
        plots.curves(xs, series, xlabel="x", ylabel="y", bands=bands)
