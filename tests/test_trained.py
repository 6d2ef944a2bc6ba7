"""From a folder or a table to samples, a card and the clinic's report, with one command each."""

import json

import pandas as pd
import pytest
import torch
from PIL import Image

from vae_course import cli, data
from vae_course.models import VAE
from vae_course.runs import trained

pytest.importorskip("accelerate")


QUICK = ("--importance-samples", 2, "--device", "cpu")


def run(*words):
    return cli.main([str(word) for word in words])


@pytest.fixture(scope="module")
def of_pictures(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    data.write_patches(folder / "in", size=16, images=120)
    small = ("--epochs", 2, "--width", 4, "--latent-dim", 4, "--batch-size", 32)
    assert run(
        "train", "--model", "conv-vae", "--data", folder / "in", "--out", folder / "out", *small,
        "--likelihood", "gaussian:learned", *QUICK,
    ) == 0  # fmt: skip
    return folder


@pytest.fixture(scope="module")
def of_rows(tmp_path_factory):
    folder = tmp_path_factory.mktemp("rows")
    wine = data.load_table_example()
    wine.restore(torch.cat([wine.train_rows, wine.test_rows])).assign(
        region=["north", "south", "west"] * 50 + ["north"], bottles=range(151)
    ).to_csv(folder / "wine.csv", index=False)
    assert run(
        "train", "--model", "table-vae", "--data", folder / "wine.csv", "--out", folder / "out",
        "--epochs", 2, *QUICK,
    ) == 0  # fmt: skip
    return folder


def test_a_run_on_pictures_ends_with_pictures_a_card_and_a_report(of_pictures):
    out = of_pictures / "out"
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "The clinic" in page and "Samples from the prior" in page
    assert "negative_elbo" in page and "gaussian:learned" in page
    assert Image.open(out / "samples.png").mode == "RGB"
    assert Image.open(out / "reconstructions.png").size[0] > 300
    card = json.loads((out / "model.json").read_text())
    assert card["architecture"]["image_shape"] == [3, 16, 16]


def test_a_run_on_a_table_ends_with_rows_in_its_own_units(of_rows):
    out = of_rows / "out"
    rows = pd.read_csv(out / "samples.csv")
    assert len(rows) == 200 and set(rows["region"]) <= {"north", "south", "west"}
    assert 5 < rows["alcohol"].mean() < 20
    assert "New rows" in (out / "report.html").read_text(encoding="utf-8")


def test_generate_writes_the_same_pictures_for_a_seed(of_pictures, capsys):
    out = of_pictures / "out"
    assert run("generate", out, "--count", 10, "--seed", 3, "--out", of_pictures / "a.png") == 0
    assert "10 samples, seed 3" in capsys.readouterr().out
    assert run("generate", out, "--count", 10, "--seed", 3, "--out", of_pictures / "b.png") == 0
    assert run("generate", out, "--count", 10, "--seed", 4, "--out", of_pictures / "c.png") == 0
    a, b, c = ((of_pictures / f"{name}.png").read_bytes() for name in "abc")
    assert a == b != c


def test_reconstruct_and_examine(of_pictures, of_rows, capsys):
    for folder, name in ((of_pictures, "reconstructions.png"), (of_rows, "reconstructions.csv")):
        assert run("reconstruct", folder / "out") == 0
        assert (folder / "out" / name).is_file()
        assert run("examine", folder / "out") == 0
        assert "healthy:" in capsys.readouterr().out
        assert (folder / "out" / "examination.html").is_file()


def test_a_model_that_ships_is_healthy(tmp_path, capsys):
    assert run("examine", "vae-conv", "--data", "mnist-5k", "--out", tmp_path / "page.html") == 0
    said = capsys.readouterr().out
    assert ("severe" not in said and "cross entropy" in said) or "likelihood + 1" in said


@pytest.mark.parametrize("words", [
    ("generate", "no-such-model"), ("examine", "compared-gan"), ("examine", "vae-conditional"),
    ("generate", "vae-conv", "--count", 0), ("reconstruct", "vae-conv", "--data", "nowhere"),
], ids=lambda words: " ".join(map(str, words)))  # fmt: skip
def test_what_can_not_be_had_is_said_in_a_line(words, capsys):
    assert run(*words) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("vae-course: ")


def test_other_pictures_than_the_models_are_refused(of_pictures, capsys):
    assert run("reconstruct", of_pictures / "out", "--data", "mnist-5k") == 1
    assert "holds 1×28×28, and the model takes 3×16×16" in capsys.readouterr().err


@pytest.mark.parametrize(("channels", "mode"), [(1, "L"), (2, "LA"), (3, "RGB"), (4, "RGBA")])
def test_a_grid_of_pictures(channels, mode):
    drawn = trained.grid(torch.rand(5, channels, 8, 10), columns=3)
    assert drawn.mode == mode and drawn.size[0] > drawn.size[1]


def test_samples_leave_torchs_random_numbers_alone():
    model = VAE.dense(2, hidden=8)
    state = torch.get_rng_state()
    assert torch.equal(trained.samples(model, 4), trained.samples(model, 4))
    assert torch.equal(torch.get_rng_state(), state)
