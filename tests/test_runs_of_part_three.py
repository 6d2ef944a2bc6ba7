"""Long runs of discrete codes and of diffusion: trained, stored, loaded, resumed."""

import json
from functools import partialmethod

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from torch_tools import assert_same_checkpoint
from vae_course import cli, data, diffusion, gpt, pretrained, vq
from vae_course.runs import diffusion as diffusion_family
from vae_course.runs import vq as vq_family
from vae_course.runs.images import judged, up_and_down

SIZES = {
    "vq-vae": ["--codes", "12", "--code-width", "4", "--width", "8"],
    "vq-prior": ["--layers", "1", "--heads", "2", "--width", "16"],
    "diffusion": ["--width", "8", "--steps", "20"],
    "latent-diffusion": ["--width", "16", "--layers", "1", "--steps", "20"],
}


def train(model, out, *options):
    fixed = ["--model", model, "--dataset", "mnist-5k", "--device", "cpu", "--out", str(out)]
    return cli.main(["train", *fixed, *SIZES[model], *map(str, options)])


@pytest.fixture(scope="module")
def few(tmp_path_factory):
    r"""Four hundred digits and a hundred to test: a U-Net sees them in a second."""
    path, digits = tmp_path_factory.mktemp("few") / "mnist-few.npz", data.load_images("mnist-5k")
    parts = {"x_train": digits.train_images[:400], "x_test": digits.test_images[:100],
             "y_train": digits.train_labels[:400], "y_test": digits.test_labels[:100]}  # fmt: skip
    np.savez(path, **{name: values.numpy() for name, values in parts.items()})
    return path


@pytest.fixture(scope="module")
def codes(tmp_path_factory):
    out = tmp_path_factory.mktemp("codes")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(vq_family, "judged", lambda *_: {})
        assert train("vq-vae", out, "--epochs", 1, "--batch-size", 500) == 0
    return out / "model.safetensors"


@pytest.fixture
def quick(monkeypatch):
    r"""Samples in two steps, without their report and a bound: each is tested elsewhere."""
    sample = diffusion.Diffusion.sample
    monkeypatch.setattr(diffusion.Diffusion, "sample", partialmethod(sample, steps=2))
    asked = []
    for family in (vq_family, diffusion_family):
        monkeypatch.setattr(family, "judged", lambda *given: asked.append(given) or {})
    monkeypatch.setattr(diffusion_family.Task, "_bound", lambda self: {})
    return asked


def test_codes_are_stored_and_read_back(codes):
    model, card = pretrained.load(codes)
    assert isinstance(model, vq.VQVAE) and card["architecture"]["codes"] == 12
    assert card["measured"]["test_perplexity"] >= 1
    log = codes.with_name("log.csv").read_text().splitlines()
    assert len(log) == 2 and "test_perplexity" in log[0]


@pytest.mark.parametrize("model", [
    pytest.param("vq-prior", marks=pytest.mark.processes),
    pytest.param("diffusion", marks=pytest.mark.processes),
    "latent-diffusion",
])  # fmt: skip
def test_a_run_that_goes_on_ends_as_one_that_never_stopped(
    model, codes, few, tmp_path, quick
):
    own = ["--codes-of", codes] if model == "vq-prior" else []
    options = [*own, "--data", few, "--epochs", 2, "--batch-size", 100]
    assert train(model, tmp_path / "whole", *options) == 0

    class Stopped(Exception):
        pass

    def stop(self):
        raise Stopped

    with pytest.MonkeyPatch.context() as patch:
        calls = []
        for family in (vq_family, diffusion_family):
            patch.setattr(
                family.Task, "held_out",
                lambda self, own=family.Task.held_out: (calls.append(1), own(self))[1]
                if len(calls) < 1 else stop(self),
            )  # fmt: skip
        with pytest.raises(Stopped):
            train(model, tmp_path / "cut", *options)
    fixed = ["--model", model, "--device", "cpu", "--out", str(tmp_path / "cut"), "--resume"]
    assert cli.main(["train", *fixed]) == 0
    assert_same_checkpoint(
        *(tmp_path / name / "checkpoint.safetensors" for name in ("whole", "cut"))
    )
    (samples, labels, _), *_ = quick
    assert len(samples) == len(labels) == 1000 and 0 <= samples.min() <= samples.max() <= 1
    loaded, card = pretrained.load(tmp_path / "whole" / "model.safetensors")
    kinds = {"vq-prior": gpt.CharGPT, "diffusion": diffusion.Diffusion,
             "latent-diffusion": diffusion.LatentDiffusion}  # fmt: skip
    assert isinstance(loaded, kinds[model]) and "measured" in card


def test_what_is_stored_is_the_average(few, tmp_path, quick):
    options = ["--data", few, "--epochs", 1, "--batch-size", 100]
    assert train("latent-diffusion", tmp_path, *options) == 0
    stored, _ = pretrained.load(tmp_path / "model.safetensors")
    kept = load_file(tmp_path / "checkpoint.safetensors")
    name = "diffusion.network.enter.weight"
    average, last = kept[f"model/average.module.{name}"], kept[f"model/model.{name}"]
    torch.testing.assert_close(stored.state_dict()[name], average.half().float())
    assert not torch.allclose(average, last, atol=1e-6)


def test_other_weights_than_those_needed_are_refused(tmp_path, capsys):
    assert train("vq-prior", tmp_path / "a", "--codes-of", "vae-conv", "--epochs", 1) == 2
    assert "not a VQVAE" in capsys.readouterr().err
    assert train("latent-diffusion", tmp_path / "b", "--vae", "vq-digits") == 2
    assert "no VAE" in capsys.readouterr().err


def test_the_report_of_real_digits_is_near_the_floor():
    digits = data.load_images("mnist-5k")
    found = judged(digits.train_images[:500], digits.train_labels[:500], digits)
    assert found["read_as_asked"] > 0.98 and sum(found["class_counts"]) == 500
    distance = found["sample_report"]["frechet_distance"]
    assert distance["value"] < 2 * distance["real"]
    json.dumps(found)


@pytest.fixture(scope="module")
def colour_pictures(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    generator = torch.Generator().manual_seed(0)
    for number in range(40):
        colours = torch.randint(0, 256, (2, 2, 3), generator=generator, dtype=torch.uint8)
        picture = colours.repeat_interleave(8, dim=0).repeat_interleave(8, dim=1)
        Image.fromarray(picture.numpy()).save(folder / f"{number}.png")
    return folder


def test_colour_pictures_of_ones_own(colour_pictures, tmp_path, monkeypatch):
    r"""A folder goes through every model of pixels and letters; nothing is drawn for a report."""

    def wasted(*_, **__):
        raise AssertionError("no classifier can read these pictures")

    monkeypatch.setattr(vq_family.vq, "write_codes", wasted)
    monkeypatch.setattr(diffusion.Diffusion, "sample", wasted)
    fixed = ["--data", str(colour_pictures), "--device", "cpu", "--batch-size", "8"]
    own = {
        "vq-vae": ["--epochs", "2"],
        "vq-prior": ["--epochs", "1", "--codes-of", str(tmp_path / "vq-vae/model.safetensors")],
        "diffusion": ["--epochs", "1"],
    }
    for model, options in own.items():
        out = ["--model", model, "--out", str(tmp_path / model)]
        assert cli.main(["train", *out, *fixed, *SIZES[model], *options]) == 0
    codes, card = pretrained.load(tmp_path / "vq-vae" / "model.safetensors")
    assert codes.image_shape == (3, 16, 16) and codes.grid == (4, 4)
    assert "samples" not in card["measured"]


def test_the_warm_up_of_a_short_run_is_short():
    def top(steps):
        shares = [up_and_down(step, steps) for step in range(steps)]
        return shares.index(max(shares))

    assert [top(steps) for steps in (2, 30, 7488)] == [0, 3, 199]
