r"""Chapter 07: its exercises, measured attributes, explorers, the animation, its notebook."""

import io
import math
import runpy
import shutil
import tarfile
import tempfile
from pathlib import Path
from types import SimpleNamespace
from urllib.error import URLError

import numpy as np
import pytest
import torch
from PIL import Image

from benchmarks import siblings, worth
from check_tools import assert_both_named, assert_helped, assert_passes, flat
from notebook_code import FOLDER, definitions
from vae_course import checks, data, latent, losses, metrics, pretrained, widgets
from vae_course.admin.notebooks import read_notebook
from vae_course.checks import draw
from vae_course.data import DataError, faces
from vae_course.metrics import attributes
from vae_course.models import VAE
from vae_course.plots.animation import animation, frames_of, there_and_back

NOTEBOOK, COMPANION = "07_latent_space", "07b_latent_space_deeper"


# ----------------------------------------------------------------- the references and the truth


def test_rate_in_bits_is_the_package_s_kl_in_another_unit():
    mean, log_var = torch.randn(2, 7, 5, generator=torch.Generator().manual_seed(1))
    rate = checks.exercise("rate_in_bits").reference(mean, log_var)
    torch.testing.assert_close(rate * math.log(2), losses.gaussian_kl(mean, log_var))


def test_threshold_flags_the_share_that_was_asked_for_on_fresh_scores_too():
    generator = torch.Generator().manual_seed(2)
    normal, fresh = torch.randn(2, 40_000, generator=generator).exp()
    for rate in (0.01, 0.05, 0.3):
        threshold = checks.exercise("anomaly_threshold").reference(normal, rate)
        assert (fresh > threshold).double().mean().item() == pytest.approx(rate, rel=0.2)


def test_slerp_moves_along_a_great_circle_at_constant_speed():
    start, end = torch.randn(2, 6, generator=torch.Generator().manual_seed(3)).double()
    end = end / end.norm() * start.norm()
    slerp = checks.exercise("slerp").reference
    path = torch.stack([slerp(start, end, t) for t in torch.linspace(0, 1, 9).tolist()])
    steps = (path[1:] - path[:-1]).norm(dim=1)
    torch.testing.assert_close(path.norm(dim=1), start.norm().expand(9))
    torch.testing.assert_close(steps, steps[:1].expand(8))
    assert torch.linalg.matrix_rank(path) == 2  # a plane through the origin


# ------------------------------------------------------------ right answers written another way


def slerp_by_half_angles(start, end, t):
    one, other = start / start.norm(), end / end.norm()
    angle = 2 * math.atan2(float((one - other).norm()), float((one + other).norm()))
    if math.sin(angle) < 1e-3:
        return start + t * (end - start)
    return (math.sin((1 - t) * angle) * start + math.sin(t * angle) * end) / math.sin(angle)


def slerp_in_an_orthogonal_frame(start, end, t):
    along = (start @ end) / (start @ start)
    across = end - along * start  # the part of end that start does not have
    if across.norm() < 1e-3 * end.norm():
        return torch.lerp(start, end, t)
    angle = torch.atan2(across.norm(), along * start.norm())
    weight = torch.sin(t * angle) / torch.sin(angle)
    return (torch.sin((1 - t) * angle) / torch.sin(angle)) * start + weight * end


def direction_by_weights(latents, has_attribute):
    has = has_attribute.float()
    return latents.T @ (has / has.sum() - (1 - has) / (1 - has).sum())


def direction_by_regression(latents, has_attribute):
    has = has_attribute.double()
    centred = has - has.mean()  # the slope on a 0/1 variable is the difference of the means
    return ((centred @ latents.double()) / (centred @ has)).float()


def direction_by_loops(latents, has_attribute):
    groups = {True: [], False: []}
    for row, has in zip(latents, has_attribute.tolist()):
        groups[has].append(row)
    return sum(groups[True]) / len(groups[True]) - sum(groups[False]) / len(groups[False])


def threshold_by_sorting(normal_scores, false_positive_rate):
    ranked = normal_scores.sort(descending=True).values
    return float(ranked[int(false_positive_rate * len(ranked))])


def threshold_by_numpy(normal_scores, false_positive_rate):
    level = 100 * (1 - false_positive_rate)
    return np.percentile(normal_scores.numpy(), level, method="inverted_cdf")


def threshold_by_kth_value(normal_scores, false_positive_rate):
    count = len(normal_scores)
    return normal_scores.kthvalue(math.ceil(count * (1 - false_positive_rate) - 1e-6)).values


def rate_by_the_package(mean, log_var):
    return losses.gaussian_kl(mean, log_var) / math.log(2)


def rate_by_distributions(mean, log_var):
    q = torch.distributions.Normal(mean, (0.5 * log_var).exp())
    p = torch.distributions.Normal(torch.zeros_like(mean), 1.0)
    return torch.distributions.kl_divergence(q, p).sum(-1) * math.log2(math.e)


RIGHT = [
    ("slerp", slerp_by_half_angles), ("slerp", slerp_in_an_orthogonal_frame),
    ("attribute_direction", direction_by_weights),
    ("attribute_direction", direction_by_regression), ("attribute_direction", direction_by_loops),
    ("anomaly_threshold", threshold_by_sorting), ("anomaly_threshold", threshold_by_numpy),
    ("anomaly_threshold", threshold_by_kth_value),
    ("rate_in_bits", rate_by_the_package), ("rate_in_bits", rate_by_distributions),
]  # fmt: skip


@pytest.mark.parametrize(("name", "function"), RIGHT, ids=[f.__name__ for _, f in RIGHT])
def test_right_answer_written_another_way_passes(name, function):
    assert_passes(name, function, range(8))


# ------------------------------------------------- wrong answers that no catalogue entry foresaw


def sines(start, end, t, angle):
    return (torch.sin((1 - t) * angle) * start + torch.sin(t * angle) * end) / torch.sin(angle)


def unit(vector):
    return vector / vector.norm()


def no_special_case(start, end, t):
    return sines(start, end, t, torch.acos(unit(start) @ unit(end)))


def clamped_only(start, end, t):
    return sines(start, end, t, torch.acos((unit(start) @ unit(end)).clamp(-1 + 1e-7, 1 - 1e-7)))


def where_lets_the_gradient_through(start, end, t):
    cosine = (unit(start) @ unit(end)).clamp(-1, 1)
    angle = torch.acos(cosine)
    line = (1 - t) * start + t * end
    return torch.where(angle.sin().abs() < 1e-3, line, sines(start, end, t, angle))


def start_for_parallel(start, end, t):
    angle = torch.acos((unit(start) @ unit(end)).clamp(-1, 1))
    return start if angle.sin() < 1e-3 else sines(start, end, t, angle)


def smoothed(start, end, t):
    return sines(start, end, t * t * (3 - 2 * t), torch.acos(unit(start) @ unit(end)))


def squared_weights(start, end, t):
    return (1 - t) ** 2 * start + t**2 * end


def distance_as_angle(start, end, t):
    return sines(start, end, t, (unit(start) - unit(end)).norm())


def means(latents, has):
    return latents[has].mean(0) - latents[~has].mean(0)


def quantile(scores, rate):
    return scores.quantile(1 - rate)


def kl(mean, log_var):
    return 0.5 * (mean**2 + log_var.exp() - 1 - log_var) / math.log(2)


UNLISTED = {
    "slerp": {
        "no special case": (no_special_case, "parallel"),
        "clamped, never left": (clamped_only, "opposite"),
        "start for parallel ones": (start_for_parallel, "parallel"),
        "smoothed steps": (smoothed, "equal steps"),
        "powers of t": (squared_weights, "norm 2"),
        "chord for angle": (distance_as_angle, "norm 2"),
        "sum of both": (lambda a, b, t: a + b, "t = 0"),
        "two dimensions": (lambda a, b, t: checks.exercise("slerp").reference(a, b, t)[None],
                           "shape"),
        "NumPy": (lambda a, b, t: no_special_case(a, b, t).numpy(), "NumPy array"),
    },
    "attribute_direction": {
        "half of the rows": (lambda z, has: z[: len(z) // 2].mean(0) - z[len(z) // 2 :].mean(0),
                             "mask"),
        "first of each": (lambda z, has: z[has][0] - z[~has][0], "position"),
        "squared": (lambda z, has: z[has].square().mean(0) - z[~has].square().mean(0), "5 added"),
        "divided by both counts": (lambda z, has: means(z, has) / len(z), "latents.shape[0]"),
        "correlation": (lambda z, has: torch.corrcoef(torch.cat([z.T, has[None].float()]))[-1, :-1],
                        "difference"),
        "keepdim": (lambda z, has: means(z, has)[None], "shape"),
        "N − 1": (lambda z, has: z[has].sum(0) / (has.sum() - 1)
                  - z[~has].sum(0) / ((~has).sum() - 1), "5 added"),
        "doubled": (lambda z, has: 2 * means(z, has), "twice"),
        "largest": (lambda z, has: z[has].max(0).values - z[~has].max(0).values, "differ"),
    },
    "anomaly_threshold": {
        "the median, stretched": (lambda s, r: (s.median() * (1 + r)).item(),
                                  "above your threshold"),
        "median and MAD": (lambda s, r: (s.median() + 3 * (s - s.median()).abs().median()).item(),
                           "above your threshold"),
        "just below, for >=": (lambda s, r: quantile(s, r).item() * (1 - 1e-4), "thirty"),
        "nearest to the share": (lambda s, r: s[(s - 1 + r).abs().argmin()].item(),
                                 "above your threshold"),
        "five percent, always": (lambda s, r: s.quantile(0.95).item(), "above your threshold"),
        "mean of the others": (lambda s, r: s[s < quantile(s, r)].mean().item(), "above your thr"),
        "interquartile": (lambda s, r: (2.5 * s.quantile(0.75) - 1.5 * s.quantile(0.25)).item(),
                          "above your threshold"),
        "a mask": (lambda s, r: s > quantile(s, r), "one number"),
        "a tensor of one": (lambda s, r: quantile(s, r)[None], "one number"),
        "no sign": (lambda s, r: s.abs().quantile(1 - r).item(), "negative scores"),
    },
    "rate_in_bits": {
        "clamped": (lambda m, v: kl(m, v.clamp(-10, 10)).sum(1), "clamp"),
        "eps in the logarithm": (lambda m, v: (kl(m, v) + 0.5 * (v - (v.exp() + 1e-8).log())
                                               / math.log(2)).sum(1), "small constant"),
        "per pixel": (lambda m, v: kl(m, v).sum(1) / 784, "0.001276 times"),
        "rounded": (lambda m, v: kl(m, v).sum(1).round(), "rounded"),
        "largest dimension": (lambda m, v: kl(m, v).max(1).values, "is not the sum"),
        "absolute mean": (lambda m, v: (kl(m, v) + 0.5 * (m.abs() - m**2) / math.log(2)).sum(1),
                          "1 bit"),
        "prior to q": (lambda m, v: 0.5 * (((1 + m**2) / v.exp() - 1 + v).sum(1)) / math.log(2),
                       "narrow"),
        "one image squeezed": (lambda m, v: kl(m, v).sum(1).squeeze(), "squeeze"),
        "−1 once": (lambda m, v: (kl(m, v) + 0.5 / math.log(2)).sum(1) - 0.5 / math.log(2), "once"),
        "a batch number": (lambda m, v: kl(m, v).sum(1) / len(m), "mean.shape[0]"),
    },
}  # fmt: skip


@pytest.mark.parametrize(("name", "wrong", "words"), flat(UNLISTED))
def test_slip_nobody_listed_is_rejected_with_a_useful_hint(name, wrong, words):
    assert_helped(name, wrong, words)


PAIRS = [
    ("slerp", "t-reversed", "sine-not-divided"), ("slerp", "not-normalised", "sine-not-divided"),
    ("slerp", "t-clamped", "unit-result"), ("slerp", "degrees", "t-reversed"),
    ("attribute_direction", "reversed", "unit-length"), ("attribute_direction", "reversed", "sums"),
    ("attribute_direction", "minus-the-mean-of-all", "reversed"),
    ("attribute_direction", "int-index", "sums"),
    ("anomaly_threshold", "wrong-side", "share-of-the-range"),
    ("anomaly_threshold", "wrong-side", "share-of-the-maximum"),
    ("anomaly_threshold", "two-sided", "bell-assumed"),
    ("rate_in_bits", "nats", "averaged-over-latents"), ("rate_in_bits", "sign", "half-missing"),
    ("rate_in_bits", "multiplied", "std-for-variance"),
    ("rate_in_bits", "nats", "summed-over-everything"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "first", "second"), PAIRS)
def test_pair_of_mistakes_is_recognised(name, first, second):
    assert_both_named(name, first, second)


# ------------------------------------------------------------------------- the package's tools


def pair(shape=(20,)):
    return torch.randn(2, *shape, generator=torch.Generator().manual_seed(4))


@pytest.mark.parametrize("name", sorted({*latent.__all__} - {"search_code"}))
def test_reference_agrees_with_the_package(name):
    exercise = checks.exercise(name)
    for seed in range(5):
        args = exercise.inputs(draw.case(seed))
        expected = torch.as_tensor(exercise.reference(*args))
        found = torch.as_tensor(getattr(latent, name)(*args))
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_slerp_takes_batches_and_keeps_the_norm():
    start, end = pair((50, 20))
    end = end / end.norm(dim=1, keepdim=True) * start.norm(dim=1, keepdim=True)
    for t in (0.0, 0.3, 1.0):
        found = latent.slerp(start, end, t)
        torch.testing.assert_close(found.norm(dim=1), start.norm(dim=1), rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(found[7], latent.slerp(start[7], end[7], t))


def test_slerp_of_parallel_and_opposite_vectors_is_the_line_with_a_finite_gradient():
    start, _ = pair()
    for factor in (1.0, 3.0, -1.0, -2.0):
        leaf = start.clone().requires_grad_()
        found = latent.slerp(leaf, factor * start, 0.3)
        torch.testing.assert_close(found, (0.7 + 0.3 * factor) * start, rtol=1e-3, atol=1e-4)
        found.sum().backward()
        assert leaf.grad.isfinite().all()


def test_the_norm_of_a_midpoint_shrinks_by_root_two_on_the_line_and_not_on_the_arc():
    start, end = pair((4000, 200))
    line, arc = (start + end) / 2, latent.slerp(start, end, 0.5)
    typical, on_line, on_arc = (z.norm(dim=1).mean().item() for z in (start, line, arc))
    assert on_line == pytest.approx(typical / 2**0.5, rel=0.01)
    assert on_arc == pytest.approx(typical, rel=0.01)


BAD_CALLS = [
    (lambda: latent.slerp(torch.ones(3), torch.ones(4), 0.5), r"\(3,\).*\(4,\)"),
    (lambda: latent.slerp(torch.zeros(3), torch.ones(3), 0.5), "zero"),
    (lambda: latent.attribute_direction(torch.ones(4, 2), torch.tensor([0, 1, 0, 1])), "bool"),
    (lambda: latent.attribute_direction(torch.ones(4, 2), torch.ones(4).bool()), "4 of 4"),
    (lambda: latent.attribute_direction(torch.ones(4, 2), torch.ones(3).bool()), r"\(3,\)"),
    (lambda: latent.anomaly_threshold(torch.tensor([]), 0.1), "N ≥ 1"),
    (lambda: latent.anomaly_threshold(torch.tensor([1.0, math.nan]), 0.1), "NaN.*first at .1"),
    (lambda: latent.anomaly_threshold(torch.ones(3), 5), "0 or more, 1 or less"),
    (lambda: attributes.slant(torch.zeros(2, 1, 28, 28)), "image 0 is black"),
    (lambda: attributes.width(torch.full((1, 1, 8, 8), math.nan)), "NaN"),
    (lambda: attributes.thickness(torch.ones(28, 28)), r"\(28, 28\)"),
]


@pytest.mark.parametrize(("call", "words"), BAD_CALLS)
def test_bad_arguments_are_named(call, words):
    with pytest.raises(ValueError, match=words):
        call()


# -------------------------------------------------------------------- slant, thickness, width


def stroke(thick, degrees, length=18, size=28):
    r"""A bar, `degrees` to the right of upright, anti-aliased: (1, 1, size, size)."""
    fine = (np.arange(8 * size) + 0.5) / 8 - size / 2
    x, y = fine[None], -fine[:, None]
    angle = math.radians(degrees)
    across = x * math.cos(angle) - y * math.sin(angle)
    along = x * math.sin(angle) + y * math.cos(angle)
    inside = (np.abs(across) < thick / 2) & (np.abs(along) < length / 2)
    return torch.tensor(inside.reshape(size, 8, size, 8).mean(axis=(1, 3))).float()[None, None]


@pytest.mark.parametrize("degrees", [-35, -10, 0, 20, 40])
def test_slant_of_a_bar_is_its_angle(degrees):
    assert attributes.slant(stroke(2.0, degrees)).item() == pytest.approx(degrees, abs=1.5)


@pytest.mark.parametrize("degrees", [0, 15, 45])
def test_thickness_of_a_bar_is_its_own_within_a_fifth_whatever_its_angle(degrees):
    found = [attributes.thickness(stroke(thick, degrees)).item() for thick in (2.0, 3.0, 4.0)]
    assert found == sorted(found)
    assert found == pytest.approx([2.0, 3.0, 4.0], rel=0.2)


def test_width_is_that_of_a_box_and_does_not_change_with_a_shear():
    box = torch.zeros(1, 1, 28, 28)
    box[..., 4:24, 10:18] = 1.0
    sheared = torch.stack([row.roll(round((14 - i) / 3)) for i, row in enumerate(box[0, 0])])
    assert attributes.width(box).item() == pytest.approx(8, abs=0.05)
    assert attributes.slant(sheared[None, None]).item() == pytest.approx(18.4, abs=1.0)
    assert attributes.width(sheared[None, None]).item() == pytest.approx(8, abs=0.3)


def test_measures_do_not_depend_on_place_or_grey_level():
    image = stroke(3.0, 20)
    moved = 0.4 * image.roll((2, -3), dims=(2, 3))
    torch.testing.assert_close(
        attributes.measure(moved), attributes.measure(image), rtol=1e-3, atol=1e-3
    )


def test_measure_stacks_the_three_and_mirror_images_lean_the_other_way():
    images = data.load_images("mnist-5k").test_images[:40]
    values, mirrored = attributes.measure(images), attributes.measure(images.flip(3))
    for column, (name, function) in enumerate(attributes.MEASURES.items()):
        torch.testing.assert_close(values[:, column], function(images), msg=name)
    torch.testing.assert_close(mirrored[:, 0], -values[:, 0], rtol=1e-4, atol=1e-3)
    torch.testing.assert_close(mirrored[:, 1:], values[:, 1:], rtol=1e-3, atol=1e-3)


# ------------------------------------------------------------------------------ the explorers


def smooth_decode(z):
    r"""A decoder made of three numbers: place, thickness and brightness of a bar."""
    grid = torch.arange(28.0)
    across = torch.sigmoid(3 - (grid - 13.5 - 4 * z[:, :1]).abs() * torch.exp(-0.5 * z[:, 1:2]))
    down = torch.sigmoid(8 - (grid - 13.5).abs()) * torch.sigmoid(3 + z[:, 2:])
    return (down[:, :, None] * across[:, None, :])[:, None]


def blender():
    codes = torch.tensor([[1.0, 0.0, 0.5], [-1.0, 0.5, 0.5], [0.5, -1.0, -0.5]])
    return widgets.blend_explorer(smooth_decode, smooth_decode(codes), codes, names="abc")


def mixer():
    codes = torch.tensor([[0.3, 0.2, 0.0], [-0.4, 0.0, 0.1]])
    steps = dict(zip(attributes.MEASURES, torch.eye(3) * 0.5))
    return widgets.mixer_explorer(smooth_decode, codes, steps, names=["one", "two"])


def threshold():
    generator = torch.Generator().manual_seed(1)
    odd = torch.arange(300) % 5 == 0
    scores = {
        "good": torch.randn(300, generator=generator) + 2 * odd,
        "coin": torch.randn(300, generator=generator),
    }
    images = torch.rand(300, 1, 28, 28, generator=generator)
    others = {name: torch.randn(2_000, generator=generator) for name in scores}
    return widgets.anomaly_explorer(scores, odd, images, set_on=others), scores, odd, others


OTHER = {
    "start": "c", "end": "c", "t": 0.2, "digit": "two", "slant": 1.0, "thickness": -0.5,
    "width": 0.7, "score": "coin", "allowed": 33,
}  # fmt: skip


@pytest.mark.parametrize("make", [blender, mixer, lambda: threshold()[0]])
def test_each_control_changes_the_picture_and_the_words(make):
    explorer = make()
    first = explorer.picture(), explorer.words()
    for name in explorer.controls:
        changed = explorer.picture(**{name: OTHER[name]}), explorer.words(**{name: OTHER[name]})
        assert changed[0] != first[0] and changed[1] != first[1], name
    assert (explorer.picture(), explorer.words()) == first


def test_blender_says_the_norms_of_both_paths():
    explorer = blender()
    words = explorer.words(start="a", end="b", t=0.5)
    first, last = torch.tensor([1.0, 0.0, 0.5]), torch.tensor([-1.0, 0.5, 0.5])
    line, arc = ((first + last) / 2).norm(), latent.slerp(first, last, 0.5).norm()
    assert f"norm {line:.2f} on the straight line" in words
    assert f"{arc:.2f} on the great circle" in words


def test_mixer_measures_what_it_draws():
    words = mixer().words(digit="one", thickness=1.0)
    codes = torch.tensor([[0.3, 0.2, 0.0], [0.3, 0.7, 0.0]])
    before, after = attributes.measure(smooth_decode(codes))[:, 1].tolist()
    assert f"thickness {before:.1f} → {after:.1f} px" in words and after > before


def test_threshold_explorer_counts_as_scikit_learn_does():
    from sklearn.metrics import confusion_matrix

    explorer, scores, odd, others = threshold()
    for name in scores:
        for allowed in (5, 40):
            limit = latent.anomaly_threshold(others[name], allowed / 100)
            (_, alarms), (missed, caught) = confusion_matrix(odd, scores[name] > limit)
            words = explorer.words(score=name, allowed=allowed)
            assert f"{caught} are caught and {missed} missed" in words
            assert f"240 normal digits {alarms} are flagged" in words
            assert f"{allowed} % were allowed" in words


def test_slider_drives_the_threshold():
    explorer, *_ = threshold()
    before = explorer.image.value
    box, slider = explorer.rows["allowed"].holders
    box.value = 30
    assert slider.value == 30 and explorer.image.value != before
    assert explorer.image.value == explorer.picture(allowed=30)


def test_explorers_refuse_what_does_not_fit():
    codes = torch.ones(2, 3)
    with pytest.raises(ValueError, match="different names"):
        widgets.blend_explorer(smooth_decode, smooth_decode(codes), codes, names=["a", "a"])
    with pytest.raises(ValueError, match="N names"):
        widgets.mixer_explorer(smooth_decode, codes, {"slant": torch.ones(3)}, names=["a"])
    with pytest.raises(ValueError, match="both kinds"):
        widgets.anomaly_explorer(
            {"s": torch.ones(2)}, torch.zeros(2).bool(), torch.rand(2, 1, 28, 28), set_on={}
        )
    with pytest.raises(ValueError, match="set_on lacks"):
        images = torch.rand(2, 1, 28, 28)
        widgets.anomaly_explorer(
            {"s": torch.ones(2)}, torch.tensor([True, False]), images, set_on={}
        )


# ------------------------------------------------------------------------------ the animation


@pytest.mark.parametrize("format", ["png", "gif"])
def test_animation_holds_the_frames_in_order_and_loops(format):
    levels = torch.linspace(0, 1, 5).view(5, 1, 1, 1).expand(5, 1, 28, 28)
    file = animation(there_and_back(levels, rest=1), format=format, scale=2)
    picture = Image.open(io.BytesIO(file))
    assert picture.is_animated and picture.info["loop"] == 0 and picture.size == (56, 56)
    found = [np.asarray(frame).mean() / 255 for frame in frames_of(file)]
    assert found == pytest.approx([0, 0.25, 0.5, 0.75, 1, 0.75, 0.5, 0.25], abs=0.03)


def test_animation_refuses_one_frame_and_other_formats():
    with pytest.raises(ValueError, match="at least two"):
        animation(torch.zeros(1, 1, 28, 28))
    with pytest.raises(ValueError, match="'png' or 'gif'"):
        animation(torch.zeros(2, 1, 28, 28), format="mp4")


def test_stored_animation_begins_with_a_2_and_ends_with_a_3():
    docs = Path(__file__).parents[1] / "docs"
    maker = runpy.run_path(str(docs / "make_animation.py"))
    file = (docs / "two-becomes-three.gif").read_bytes()
    frames = frames_of(file)
    assert len(file) < 300_000 and len(frames) >= maker["FRAMES"]
    model, _ = pretrained.load_vae("vae-conv")
    decoded = maker["frames"](model)
    for stored, right in ((frames[0], decoded[0]), (frames[len(frames) // 2], decoded[-1])):
        small = torch.from_numpy(np.array(stored.resize((28, 28), Image.Resampling.BOX))).float()
        gap = (small / 255 - right[0]).abs().mean()
        assert gap < 0.05, "run python docs/make_animation.py"


# ----------------------------------------------------------------------------------- the faces


def picture_files(home, people=(("Ada_Lovelace", 12), ("Alan_Turing", 9), ("Few_Pictures", 2))):
    r"""LFW in small: 250 × 250 JPEGs by person, light from one side or the other."""
    random = np.random.default_rng(0)
    for person, count in people:
        folder = home / "lfw_home" / "lfw_funneled" / person
        folder.mkdir(parents=True)
        for number in range(1, count + 1):
            x, y = np.meshgrid(np.linspace(-1, 1, 250), np.linspace(-1, 1, 250))
            head = (x**2 / 0.3 + y**2 / 0.5 < 1) * (120 + 60 * random.uniform(-1, 1))
            light = 1 + 2 * random.choice([-1, 1]) * random.uniform(0.5, 1) * x
            colour = (head * light).clip(0, 255)[..., None] * [1.0, 0.9, 0.8] + 20
            picture = Image.fromarray(colour.clip(0, 255).astype(np.uint8))
            picture.save(folder / f"{person}_{number:04d}.jpg")
    for name in ("pairsDevTrain.txt", "pairsDevTest.txt", "pairs.txt"):
        (home / "lfw_home" / name).write_text("0\n")


@pytest.fixture
def stand_in(monkeypatch):
    r"""A downloader that serves small files, after breaking as often as it is told to."""
    import sklearn.datasets._lfw as lfw

    class Server:
        failures, error, asked = 0, URLError("the line broke"), 0

        def __call__(self, remote, dirname=None, **_):
            self.asked += 1
            if self.asked <= self.failures:
                raise self.error
            path = Path(dirname) / remote.filename
            if not path.name.endswith(".tgz"):
                path.write_text("0\n")
                return
            with tempfile.TemporaryDirectory() as folder, tarfile.open(path, "w:gz") as archive:
                picture_files(Path(folder))
                archive.add(Path(folder) / "lfw_home" / "lfw_funneled", "lfw_funneled")

    server = Server()
    monkeypatch.setattr(lfw, "_fetch_remote", server)
    return server


def test_faces_have_the_shape_of_digits_and_keep_their_people(tmp_path):
    picture_files(tmp_path)
    found = faces.load_faces(folder=tmp_path, fewest=5, download=False)
    assert found.image_shape == (1, 28, 28) and found.class_names == ("Ada Lovelace", "Alan Turing")
    assert (len(found.train_images), len(found.test_images)) == (17, 4)
    counts = torch.cat([found.train_labels, found.test_labels]).bincount().tolist()
    assert counts == [12, 9]
    low, high = found.train_images.aminmax()
    assert 0 <= low < 0.15 and 0.4 < high <= 1
    larger = faces.load_faces(folder=tmp_path, fewest=5, size=64, download=False)
    small = torch.nn.functional.interpolate(larger.test_images, size=28, mode="area")
    assert (small - found.test_images).abs().mean() < 0.02


def test_faces_are_loaded_by_name_too(tmp_path):
    picture_files(tmp_path, people=(("Ada_Lovelace", 21), ("Alan_Turing", 19)))
    found = data.load_images("lfw-faces", folder=tmp_path)
    assert found.name == "lfw-faces" and found.class_names == ("Ada Lovelace",)


def test_faces_that_are_not_there_say_what_to_do_and_leave_nothing_behind(tmp_path):
    with pytest.raises(DataError, match=r"no faces in .*233 MB from figshare.*mnist-5k"):
        faces.load_faces(folder=tmp_path, download=False)
    assert not list(tmp_path.iterdir())


def test_download_says_size_and_source_first_then_reads(tmp_path, stand_in, capsys):
    found = faces.load_faces(folder=tmp_path, fewest=5)
    assert len(found.train_images) == 17
    said = capsys.readouterr().out
    assert said.startswith("Downloading 233 MB from figshare.com") and "broke off" not in said
    asked = stand_in.asked
    faces.load_faces(folder=tmp_path, fewest=5)
    assert stand_in.asked == asked and capsys.readouterr().out == ""


def test_broken_download_is_tried_again(tmp_path, stand_in, capsys):
    stand_in.failures = 2
    assert len(faces.load_faces(folder=tmp_path, fewest=5).test_images) == 4
    said = capsys.readouterr().out
    assert "Attempt 1 of 3 broke off" in said and "the line broke" in said


@pytest.mark.parametrize(
    "error", [URLError("no route to host"), ConnectionResetError("reset"), OSError("checksum")]
)
def test_no_network_ends_in_one_clear_sentence(tmp_path, stand_in, error):
    stand_in.failures, stand_in.error = 99, error
    with pytest.raises(DataError, match=r"could not be downloaded .*when you are online.*lfw_home"):
        faces.load_faces(folder=tmp_path)
    assert stand_in.asked == 3


def test_archive_half_unpacked_is_unpacked_again(tmp_path, stand_in):
    faces.load_faces(folder=tmp_path, fewest=5)
    home = tmp_path / "lfw_home"
    shutil.rmtree(home / "lfw_funneled" / "Alan_Turing")
    shutil.rmtree(home / "joblib", ignore_errors=True)
    stand_in(SimpleNamespace(filename="lfw-funneled.tgz"), dirname=home)  # was still there
    assert faces.load_faces(folder=tmp_path, fewest=5).class_names[-1] == "Alan Turing"


def test_damaged_picture_and_missing_folder_are_named(tmp_path):
    picture_files(tmp_path)
    broken = tmp_path / "lfw_home" / "lfw_funneled" / "Ada_Lovelace" / "Ada_Lovelace_0003.jpg"
    broken.write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"can't be read .*remove that folder"):
        faces.load_faces(folder=tmp_path, fewest=5)
    with pytest.raises(DataError, match="existing folder"):
        faces.load_faces(folder=tmp_path / "mistyped")
    with pytest.raises(ValueError, match="8 to 128"):
        faces.load_faces(folder=tmp_path, size=500)


def test_light_is_told_from_the_side():
    image = torch.zeros(2, 1, 28, 28)
    image[0, :, :, 14:], image[1, :, :, :14] = 1.0, 0.5
    assert faces.light_from_the_right(image).tolist() == [1.0, -0.5]
    assert faces.brightness(image).tolist() == [0.5, 0.25]


# ------------------------------------------------------------- the notebook's own functions


def test_notebook_s_regression_finds_directions_that_do_not_mix():
    generator = torch.Generator().manual_seed(4)
    labels = torch.arange(2000) % 10
    values = torch.randn(2000, 2, generator=generator)
    values[:, 1] += 0.8 * values[:, 0]  # thick digits tend to be wide
    codes = values @ torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]) + labels[:, None]
    own = definitions(NOTEBOOK, "within_classes", "minus_class_means")
    for function in (own.within_classes, own.minus_class_means):
        function.__globals__.update(
            digits=SimpleNamespace(train_labels=labels),
            train_codes=codes,
            attribute_direction=latent.attribute_direction,
        )
    within = own.within_classes(values[:, 0])
    assert within[1] > 0.3 * within[0] > 0, "the second attribute rides along"
    fitted = torch.linalg.lstsq(own.minus_class_means(values), own.minus_class_means(codes))
    torch.testing.assert_close(fitted.solution, torch.eye(2, 3), rtol=0, atol=1e-3)


def test_notebook_s_simple_code_is_the_best_coin_s_likelihood():
    own = definitions(NOTEBOOK, "simple_code")
    images = torch.rand(5, 1, 28, 28)
    share = images.flatten(1).mean(1).view(5, 1, 1, 1).expand_as(images)
    torch.testing.assert_close(
        own.simple_code(images), losses.bernoulli_nll(share.logit(), images), rtol=1e-4, atol=1e-2
    )
    assert own.simple_code(torch.zeros(1, 1, 28, 28)).item() == 0


def test_companion_s_noise_model_is_the_noise_that_add_noise_makes():
    own = definitions(COMPANION, "NOISE", "cut_noise_nll")
    image = torch.linspace(0.05, 0.95, 7).view(7, 1, 1, 1)
    many = image.expand(7, 1, 400, 500)
    noisy = data.add_noise(many, std=own.NOISE, generator=torch.Generator().manual_seed(5))
    found = torch.stack([own.cut_noise_nll(noisy, m.expand_as(noisy)) for m in image])  # (7, 7)
    assert (found.argmin(dim=0) == torch.arange(7)).all()  # each is best explained by itself


def test_companion_s_psnr():
    clean, own = torch.rand(3, 1, 28, 28), definitions(COMPANION, "psnr")
    assert own.psnr(clean, clean + 0.1).tolist() == pytest.approx([20.0] * 3, abs=1e-3)


@pytest.fixture
def folded_search():
    """The folded solution of 07b's own exercise, which a linear decoder judges."""
    cells = read_notebook(FOLDER / f"{COMPANION}.ipynb")["cells"]
    return folded(cells, "search_code", torch=torch)


def folded(cells, name, **known):
    """The function that a folded solution of the notebook defines."""
    (text,) = (c["source"] for c in cells if f"```python\ndef {name}(" in c["source"])
    exec(text.split("```python\n")[1].split("```")[0], known)
    return known[name]


def told_by_the_companion(search_code, capsys):
    """What the judge says, and the function with which the notebook goes on."""
    cells = read_notebook(FOLDER / f"{COMPANION}.ipynb")["cells"]
    (judge,) = (c["source"] for c in cells if c["source"].startswith("from types import"))
    known = {"torch": torch, "latent": latent, "search_code": search_code}
    exec(judge, known)
    return capsys.readouterr().out.strip(), known["search_code"]


def test_companion_s_search_passes_its_judge_and_so_does_the_package_s(folded_search, capsys):
    for search in (folded_search, latent.search_code):
        assert told_by_the_companion(search, capsys) == ("search_code: right", search)


def searching(loss, *, rate=0.1, zero=True, start=torch.zeros, finish=torch.Tensor.detach):
    """A student's search with another loss, or another fault."""

    def search_code(model, nll, count, steps=120):
        code = start(count, model.latent_dim).requires_grad_()
        optimizer = torch.optim.Adam([code], lr=rate)
        for _ in range(steps):
            if zero:
                optimizer.zero_grad()
            loss(nll(model.decode(code)), code).backward()
            optimizer.step()
        return model.decode(finish(code))

    return search_code


@pytest.mark.parametrize("wrong, told", [
    (lambda model, nll, count, steps: None, "not attempted yet"),
    (lambda model, nll, count, steps: torch.zeros(3, 2), "shape (3, 2), expected (3, 3)"),
    (searching(lambda nll, z: nll.sum()), "the prior is missing"),
    (searching(lambda nll, z: (nll + z.square().sum(dim=1)).sum()), "off by up to"),
    (searching(lambda nll, z: nll.mean() + 0.5 * z.square().sum()), "off by up to"),
    (searching(lambda nll, z: (nll + 0.5 * z.square().sum(1)).sum(), zero=False), "off by up to"),
    (searching(lambda nll, z: (nll + 0.5 * z.square().sum(1)).sum(), finish=lambda z: z), "detach"),
])  # fmt: skip
def test_companion_s_judge_finds_wrong_searches(wrong, told, capsys):
    said, goes_on = told_by_the_companion(wrong, capsys)
    assert told in said and goes_on is latent.search_code


def told_of_seen_nll(seen_nll, capsys):
    """What 07b's judge of the likelihood says, and the function that goes on."""
    cells = read_notebook(FOLDER / f"{COMPANION}.ipynb")["cells"]
    (judge,) = (c["source"] for c in cells if c["source"].startswith("def course_nll"))
    seen = torch.ones(1, 1, 28, 28)
    seen[..., 14:, :] = 0
    known = {"torch": torch, "SEED": 0, "seen": seen, "seen_nll": seen_nll}
    exec(judge, known)
    return capsys.readouterr().out.strip(), known["seen_nll"], known["course_nll"]


def test_companion_s_folded_likelihood_passes_its_judge(capsys):
    cells = read_notebook(FOLDER / f"{COMPANION}.ipynb")["cells"]
    own = folded(cells, "seen_nll")
    said, goes_on, _ = told_of_seen_nll(own, capsys)
    assert said == "seen_nll: right" and goes_on is own


def squares(given, image, seen):
    return ((given - image) * seen).square().flatten(1)


@pytest.mark.parametrize("wrong, told", [
    (lambda given, image, seen, std: None, "not attempted yet"),
    (lambda *g: squares(*g[:3]).sum() / (2 * g[3] ** 2), "shape (), expected (3,)"),
    (lambda given, image, seen, std: squares(given, image, 1).sum(1) / (2 * std**2), "hidden"),
    (lambda *g: squares(*g[:3]).sum(1) / g[3] ** 2, "½ is missing"),
    (lambda *g: squares(*g[:3]).sum(1) / (2 * g[3]), "σ is to be squared"),
    (lambda *g: squares(*g[:3]).mean(1) / (2 * g[3] ** 2), "averaged"),
    (lambda *g: -squares(*g[:3]).sum(1) / (2 * g[3] ** 2), "is right"),
])  # fmt: skip
def test_companion_s_judge_names_the_slip_in_a_likelihood(wrong, told, capsys):
    said, goes_on, course = told_of_seen_nll(wrong, capsys)
    assert told in said and goes_on is course


def test_companion_s_filler_was_taught_the_holes_and_the_input_that_it_gets_there():
    own = definitions(COMPANION, "visible")
    image, seen = torch.rand(5, 1, 28, 28), siblings.halves(5)
    torch.testing.assert_close(own.visible(image, seen), siblings.visible(image, seen))
    torch.manual_seed(0)
    kinds = {tuple(mask.flatten().tolist()) for mask in siblings.halves(60)}
    assert len(kinds) == 4 and all(sum(kind) == 392 for kind in kinds)
    upper = torch.zeros(28, 28)
    upper[:14] = 1
    wanted = {tuple(m.flatten().tolist()) for m in (upper, 1 - upper, upper.T, 1 - upper.T)}
    assert kinds == wanted


def test_worth_stops_before_its_own_table_and_puts_other_weights_in(tmp_path, monkeypatch):
    cells = [
        "from vae_course.pretrained import load, load_vae",
        "assert False, 'a claim about the weights that ship'",
        "names = load('autoencoder-conv-4000', None), load('filler-conv-4000', None)",
        "import torch\nnames += (load_vae('vae-conv-4000'),)\nlabel_counts = [1]",
        "drawn = {'search, VAE': torch.ones(4), 'search, twin': torch.zeros(4)}",
        "decibels, hidden = drawn, {'lower half': drawn, 'diagonal half': drawn}\nread = hidden",
        "each_cost = {'twin': 48.0, 'VAE': 44.0}",
        "accuracy = {'VAE': torch.full((1, 10), 3.0), 'twin': torch.ones(1, 10)}",
        "load_results('vae-and-twin')\n1 / 0",
    ]
    tags = {1: {"tags": ["claim"]}}
    notebook = {"cells": [{"cell_type": "code", "source": text, "metadata": tags.get(n, {})}
                          for n, text in enumerate(cells)]}  # fmt: skip
    asked = []
    monkeypatch.setattr(worth, "read_notebook", lambda path: notebook)
    monkeypatch.setattr(pretrained, "load", lambda name, model: asked.append(name))
    monkeypatch.setattr(pretrained, "load_vae", lambda name: asked.append(name))
    found = worth.measured({worth.VAE: "other vae", worth.TWIN: "other twin"})
    assert asked == ["other twin", "filler-conv-4000", "other vae"]
    assert list(found.values()) == [1, 1, 1, 100, 100, 4, 2]


@pytest.mark.parametrize("name", siblings.SIBLINGS)
def test_siblings_score_what_their_cards_say(name):
    build, *_ = siblings.SIBLINGS[name]
    model, card = pretrained.load(f"{name}-conv-4000", build())
    error, what = siblings.test_error(name, model, data.load_images("mnist-5k").test_images)
    assert error == pytest.approx(card["measured"]["mse"], rel=0.03)
    assert what in card["measured"]["how"]


@pytest.mark.parametrize("frozen", [True, False])
def test_search_finds_the_code_and_leaves_the_model_alone(frozen, folded_search):
    torch.manual_seed(0)
    model = VAE.dense(3, hidden=32).requires_grad_(not frozen)
    with torch.no_grad():
        target = model.decode(torch.tensor([[1.0, -0.5, 0.3], [-0.4, 0.8, 0.0]]))

    def nll(image):
        return 1e5 * (image - target).square().flatten(1).sum(dim=1)

    found = latent.search_code(model, nll, 2, steps=400)
    assert (found - target).abs().max() < 0.01 and not found.requires_grad
    assert all(each.grad is None for each in model.parameters())
    assert (folded_search(model, nll, 2, steps=400) - target).abs().max() < 0.01
    with pytest.raises(ValueError, match=r"\(2,\).*\(\)|\(\).*\(2,\)"):
        latent.search_code(model, lambda image: image.sum(), 2)


def test_companion_s_sheet_keeps_every_digit():
    own = definitions(COMPANION, "sheet", "unsheet")
    images = data.load_images("mnist-5k").test_images[:80]
    torch.testing.assert_close(own.unsheet(own.sheet(images), 28), images, rtol=0, atol=1e-6)


# ------------------------------------------------------------------------------- the challenge


def test_challenge_wants_more_than_one_step_for_all():
    digits = data.load_images("mnist-5k")
    model, _ = pretrained.load_vae("vae-conv")
    codes, _ = metrics.latent_codes(model, digits.train_images)
    values = attributes.measure(digits.train_images)
    plain = latent.attribute_direction(codes, values[:, 2] > values[:, 2].median())
    found = checks.challenge("07", lambda codes: codes + plain)
    assert not found.passed and 0.3 < found.score < 0.7 and "Most is lost" in found.where
    assert checks.challenge("07", lambda codes: codes).score == 0, "nothing got wider"
    assert checks.challenge("07", lambda codes: codes[:, :3]).status == "error"
