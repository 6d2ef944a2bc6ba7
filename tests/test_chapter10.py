"""Notebook 10: right answers in other styles pass its checks; its explorer and tables hold."""

import math

import pytest
import torch

from vae_course import checks, data, pretrained, vq, widgets


@pytest.fixture(scope="module")
def explorer():
    digits = data.load_images("mnist-5k")
    model, _ = pretrained.load("vq-digits")
    prior, _ = pretrained.load("vq-prior")
    return widgets.codes_explorer(
        model, prior, digits.test_images[:2], digits.test_labels[:2], names=["a", "b"]
    )


def test_a_letter_changes_a_patch_and_writing_on_keeps_what_stands(explorer):
    assert "0 of 49 letters differ" in explorer.words(digit="a")
    one = explorer.words(digit="a", row=3, column=3, letter=7)
    assert "1 of 49 letters differ" in one
    rest = explorer.words(digit="a", row=6, column=5, write_on=True)
    assert "0 of 49" in rest or "1 of 49" in rest  # only the last letter is written anew
    assert explorer.picture(digit="a") != explorer.picture(digit="a", row=3, column=3, letter=7)


def test_counts_that_differ_are_refused():
    digits = data.load_images("mnist-5k")
    model, _ = pretrained.load("vq-digits")
    with pytest.raises(ValueError, match="2 images, 2 labels, 1 names"):
        widgets.codes_explorer(model, None, digits.test_images[:2], digits.test_labels[:2],
                               names=["a"])  # fmt: skip


def test_the_tables_that_ship_are_whole():
    cures = pretrained.load_results("codebook-cures")
    assert len(cures) == 20 and all(1 <= row["perplexity"] <= 64 for row in cures)
    sizes = pretrained.load_results("codebook-sizes")
    assert len({(row["codes"], row["seed"]) for row in sizes}) == len(sizes) == 12
    for row in sizes:  # used letters are among those there are, a letter costs at most log K
        assert 1 <= row["perplexity"] <= row["codes"]
        assert 0 < row["nats_a_digit"] < 49 * math.log(row["codes"])
    table = {row["model"]: row for row in pretrained.load_results("shipped-samples")}
    assert all(math.isfinite(row["frechet_distance"]) for row in table.values())
    floors = {row["frechet_distance_real"] for row in table.values()}
    assert len(floors) == 1  # one protocol for all


def test_the_shipped_writer_is_measured_on_its_card():
    _, card = pretrained.load("vq-prior")
    found = card["measured"]
    assert found["read_as_asked"] > 0.95 and sum(found["class_counts"]) == found["samples"]
    shares = {row["model"]: row for row in pretrained.load_results("read-as-asked")}
    assert shares["vq-prior"]["read_as_asked"] == found["read_as_asked"]
    for row in shares.values():
        assert row["low"] < row["read_as_asked"] < row["high"] < 1 and row["samples"] == 10_000
    report = found["sample_report"]["frechet_distance"]
    assert report["value"] < 3 * report["real"]


def test_the_challenge_measures_letters():
    model, _ = pretrained.load("vq-digits")
    result = checks.challenge("10", model)  # 128 letters: too many
    assert result.status == "error" and "below 64" in str(result)
    torch.manual_seed(0)
    assert not checks.challenge("10", vq.VQVAE(codes=8, code_width=4, channels=8).eval()).passed
