r"""The frame of the chapters' challenges, and each challenge's task."""

import pytest
import torch
from torch import nn

from vae_course import checks
from vae_course.checks import challenges


@pytest.fixture
def toy(monkeypatch):
    monkeypatch.setattr(challenges, "CHALLENGES", dict(challenges.CHALLENGES))

    @challenges._challenge("99", target=0.5, unit="nats", better="lower")
    def measure(model):
        r"""Make it small."""
        assert not torch.is_grad_enabled() and not model.training
        return model.bias.sum() + 0 * torch.rand(()), "It loses everywhere."

    return nn.Linear(1, 1)


def test_a_model_is_measured_and_nothing_is_changed(toy, capsys):
    nn.init.constant_(toy.bias, 2.0)
    state = torch.get_rng_state()
    result = checks.challenge("99", toy)
    assert not result.passed and result.score == 2.0 and result.target == 0.5
    assert toy.training and torch.is_grad_enabled() and torch.equal(state, torch.get_rng_state())
    text = capsys.readouterr().out
    assert text == f"{result}\n"
    assert "1.5 is missing" in text and "at most 0.5 nats" in text and "loses everywhere" in text
    nn.init.constant_(toy.bias, 0.1)
    assert checks.challenge(99, toy).passed


def test_without_a_model_the_task_is_printed(toy, capsys):
    result = checks.challenge("99", None)
    assert result.score is None and not result.passed
    assert "Make it small." in capsys.readouterr().out


def test_what_cannot_be_measured_is_said(toy, capsys):
    result = checks.challenge("99", 5)
    assert result.status == "error" and "int" in capsys.readouterr().out


def test_unknown_chapters_are_named():
    with pytest.raises(ValueError, match="no challenge"):
        checks.challenge("77", None)


@pytest.mark.parametrize("name", challenges.CHALLENGES)
def test_every_task_says_what_is_asked(name, capsys):
    asked = challenges.CHALLENGES[name]
    assert len(asked.task) > 40 and asked.unit and asked.better in ("lower", "higher")
    assert checks.challenge(name).status == "task"
