r"""The models that ship: each is whole, small, licensed, and what its card says it is."""

import json

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from benchmarks import openings
from torch_tools import elbo_loss, small_vae, weights
from vae_course import metrics, models, pretrained
from vae_course.admin.notebooks import read_notebook
from vae_course.data import load_images
from vae_course.files import DataError, package_data
from vae_course.runs.gpt import mean_loss
from vae_course.training import count_parameters, fit

FOLDER = package_data("pretrained/README.md").parent
NAMES = sorted(path.stem for path in FOLDER.glob("*.json"))
COMPARED = ("vae", "conditional-vae", "gan", "stable-gan")


@pytest.mark.parametrize("name", NAMES)
def test_a_shipped_model_has_weights_a_card_and_a_line_in_the_list(name):
    card = json.loads((FOLDER / f"{name}.json").read_text("utf-8"))
    weights = FOLDER / f"{name}.safetensors"
    limit = 4_000_000 if name.startswith("gpt") else 3_000_000
    assert weights.stat().st_size < limit, "the course stays small"
    assert card["licence"] == "MIT" and card["protocol"] and card["versions"]["torch"]
    assert card["weights"]["dtype"] in ("float16", "float32")
    listed = (FOLDER / "README.md").read_text("utf-8")
    assert f"`{name}`" in listed, f"data/pretrained/README.md does not list {name}"


def test_no_weights_without_a_card():
    assert sorted(path.stem for path in FOLDER.glob("*.safetensors")) == NAMES


@pytest.mark.parametrize("name", COMPARED)
def test_a_compared_model_decodes_to_pixels(name):
    load = pretrained.load_vae if name.endswith("vae") else pretrained.load_gan
    model, card = load(f"compared-{name}")
    assert count_parameters(model) == card["parameters"]
    label = (torch.arange(5),) if name == "conditional-vae" else ()
    with torch.no_grad():
        images = model.decode(torch.randn(5, model.latent_dim), *label)
    assert images.shape == (5, 1, 28, 28) and images.min() >= 0 and images.max() <= 1


def test_compared_models_had_equal_seconds_data_and_decoders():
    cards = [json.loads((FOLDER / f"compared-{name}.json").read_text("utf-8")) for name in COMPARED]
    seconds = [card["protocol"]["cpu_seconds"] for card in cards]
    assert max(seconds) < 1.1 * min(seconds)
    assert len({card["data"]["name"] for card in cards}) == 1
    assert len({card["protocol"]["batch_size"] for card in cards}) == 1
    widths = {card["architecture"].get("width", card["architecture"].get("channels"))
              for card in cards}  # fmt: skip
    assert len(widths) == 1


def test_the_tables_sharpness_is_that_of_the_shipped_weights():
    r"""One number of the table, measured again: table and weights belong together."""
    rows = {row["model"]: row for row in pretrained.load_results("gan-comparison-long")}
    real = metrics.sharpness(load_images().test_images).mean()
    for name in ("vae", "stable-gan"):
        load = pretrained.load_vae if name == "vae" else pretrained.load_gan
        model, _ = load(f"compared-{name}")
        torch.manual_seed(0)
        with torch.no_grad():
            images = model.decode(torch.randn(500, model.latent_dim))
        again = (metrics.sharpness(images).mean() / real).item()
        assert again == pytest.approx(rows[name]["sharpness"], rel=0.1)


@pytest.mark.parametrize(
    "name, bound", [("gpt-shakespeare-minutes", 1.88), ("gpt-shakespeare-hour", 1.60)]
)
def test_a_shipped_gpt_writes_english(name, bound):
    model, tokenizer, card = pretrained.load_gpt(name)
    assert len(tokenizer) == 65 == card["architecture"]["vocabulary"]
    assert card["measured"]["validation_loss"] <= bound
    assert count_parameters(model) == card["parameters"]
    assert pretrained.load_log(name).last["step"] == card["measured"]["steps"]
    tokens = tokenizer.encode("First Citizen:\nBefore we proceed any further, hear me speak.\n")
    assert mean_loss(model, tokens, 61) < 2.0  # far below log 65 = 4.17
    text = tokenizer.decode(model.generate(tokenizer.encode("ROMEO:")[None], 1)[0])
    assert text == "ROMEO:\n"


@pytest.mark.parametrize("chapter", openings.CHAPTERS)
def test_what_a_first_picture_shows_is_small_and_the_notebook_compares_it(chapter):
    stored = pretrained.load_opening(chapter)
    assert all(v.dtype == torch.float32 and v.isfinite().all() for v in stored.values())
    assert package_data(f"openings/{chapter}.safetensors").stat().st_size < 60_000
    (path,) = (openings.ROOT / "notebooks").glob(f"{chapter}_*.ipynb")
    cells = read_notebook(path)["cells"]
    claims = [c["source"] for c in cells if "claim" in c["metadata"].get("tags", ())]
    (compared,) = [source for source in claims if "live = {" in source]
    assert "opening[" in compared and all(f'"{name}"' in compared for name in stored)


def test_all_openings_are_made_unless_some_are_named(tmp_path, monkeypatch, capsys):
    for folder in ("data", "notebooks"):
        (tmp_path / folder).mkdir()
    for chapter in openings.CHAPTERS:
        (tmp_path / f"notebooks/{chapter}_lesson.ipynb").touch()
    monkeypatch.setattr(openings, "ROOT", tmp_path)
    monkeypatch.setattr(openings, "live_tensors", lambda path: {"loss": torch.tensor([0.1])})
    assert openings.main(["03"]) == 0 and openings.main([]) == 0
    made = {path.stem for path in (tmp_path / "data/openings").iterdir()}
    assert made == set(openings.CHAPTERS)
    with pytest.raises(SystemExit):
        openings.main(["05"])
    assert "no stored opening: 05" in capsys.readouterr().err


def test_an_unknown_opening_is_named():
    with pytest.raises(DataError, match="openings/12"):
        pretrained.load_opening("12")


def test_a_model_of_another_kind_is_named():
    with pytest.raises(DataError, match="vae-conv holds a VAE, not a Generator"):
        pretrained.load_gan("vae-conv")
    with pytest.raises(DataError, match="not a CharGPT"):
        pretrained.load_gpt("vae-conv")


# ------------------------------------------------------------------------- weights of one's own


def small(path, **options):
    model = models.VAE.dense(2, hidden=6)
    architecture = {"kind": "dense-vae", "latent_dim": 2, "width": 6}
    return model, pretrained.save(path, model, architecture=architecture, **options)


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_what_is_saved_is_loaded(tmp_path, dtype):
    model, card = small(tmp_path / "mine", dtype=dtype, data={"name": "noise"})
    assert {file.name for file in tmp_path.iterdir()} == {"mine.safetensors", "mine.json"}
    again, read = pretrained.load(tmp_path / "mine.safetensors")
    assert read == card and read["data"] == {"name": "noise"} and not again.training
    assert torch.equal(weights(model), weights(again))  # the model is left as it was stored
    assert {p.dtype for p in again.parameters()} == {torch.float32}


def test_buffers_and_whole_numbers_survive(tmp_path):
    model = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    for _ in range(3):
        model(torch.rand(5, 3))
    pretrained.save(tmp_path / "mine", model, dtype="float16")
    make = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    again, _ = pretrained.load(tmp_path / "mine.safetensors", make)
    assert again is make and again[1].num_batches_tracked.item() == 3


def test_a_checkpoint_of_fit_gives_its_weights(tmp_path):
    model = small_vae()
    fit(model, elbo_loss, torch.rand(8, 1, 28, 28), epochs=1, progress=False,
        checkpoint=tmp_path / "run.safetensors")  # fmt: skip
    again, card = pretrained.load(tmp_path / "run.safetensors", models.VAE.dense(2, hidden=6))
    assert torch.equal(weights(again), weights(model)) and card == {}


@pytest.mark.parametrize("wrap", ["", "module.", "_orig_mod."])
def test_a_state_dict_of_ones_own_and_of_a_wrapped_model(tmp_path, wrap):
    model = small_vae()
    save_file({wrap + k: v for k, v in model.state_dict().items()}, tmp_path / "mine.safetensors")
    again, card = pretrained.load(tmp_path / "mine.safetensors", models.VAE.dense(2, hidden=6))
    assert torch.equal(weights(again), weights(model)) and card == {}
    with pytest.raises(DataError, match="load\\(path, model=…\\)"):
        pretrained.load(tmp_path / "mine.safetensors")


def test_files_that_are_missing_damaged_or_of_another_model(tmp_path):
    path = tmp_path / "mine.safetensors"
    for name in ("gpt-of-nobody", path):
        with pytest.raises(DataError, match="no file"):
            pretrained.load(name)
    small(path)
    with pytest.raises(DataError, match="don't belong together"):
        pretrained.load(path, models.VAE.dense(2, hidden=7))
    path.with_suffix(".json").write_text('{"kind": "VAE", "architecture": {"kind": "none"}}')
    with pytest.raises(DataError, match="don't belong together"):
        pretrained.load(path)
    path.with_suffix(".json").write_text("{")
    with pytest.raises(DataError, match="is damaged"):
        pretrained.load(path)
    path.write_bytes(b"rubbish")
    with pytest.raises(DataError, match="is damaged"):
        pretrained.load(path, models.VAE.dense(2, hidden=6))
    with pytest.raises(DataError, match="may hold a pickle"):
        pretrained.load(tmp_path / "weights.pt")
