r"""The models that ship: each is whole, small, licensed, and what its card says it is."""

import csv
import json

import pytest
import torch

from vae_course import metrics, pretrained
from vae_course.data import load_images
from vae_course.files import DataError, package_data
from vae_course.training import count_parameters

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
    with package_data("runs/gan-comparison-long.csv").open(newline="", encoding="utf-8") as file:
        rows = {row["model"]: row for row in csv.DictReader(file)}
    real = metrics.sharpness(load_images().test_images).mean()
    for name in ("vae", "stable-gan"):
        load = pretrained.load_vae if name == "vae" else pretrained.load_gan
        model, _ = load(f"compared-{name}")
        torch.manual_seed(0)
        with torch.no_grad():
            images = model.decode(torch.randn(500, model.latent_dim))
        again = (metrics.sharpness(images).mean() / real).item()
        assert again == pytest.approx(float(rows[name]["sharpness"]), rel=0.1)


def test_a_vaes_card_is_not_taken_for_a_generators():
    with pytest.raises(DataError, match="don't belong together"):
        pretrained.load_gan("vae-conv")
