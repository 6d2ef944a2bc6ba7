"""What the course prints can be printed anywhere: also where the code page knows no "·"."""

import io
import sys

import pytest

from vae_course.printing import say

SCRIPT = """
import torch
from vae_course import checks, models, training

def elbo(model, image):
    nll, kl = model.elbo_terms(image)
    return (nll + kl).mean()

training.fit(models.VAE.dense(2, hidden=4), elbo, torch.rand(8, 1, 28, 28), epochs=1)
checks.check("gaussian_kl", lambda mean, log_var: mean.sum(1))
"""


@pytest.mark.parametrize("page", ["ascii", "cp437", "shift_jis"])
def test_fit_and_checks_print_in_any_code_page(page, monkeypatch):
    screens = [io.TextIOWrapper(io.BytesIO(), encoding=page) for _ in range(2)]
    for name, screen in zip(("stdout", "stderr"), screens):
        monkeypatch.setattr(sys, name, screen)
    exec(SCRIPT, {})  # a character that the page lacks is an error
    screens[0].flush()
    printed = screens[0].buffer.getvalue().decode(page)
    assert "train loss" in printed and "gaussian_kl: not right yet" in printed
    assert ("·" in printed) == (page != "ascii" and "·".encode(page, "replace") != b"?")


def test_say_is_print_where_all_can_be_shown(capsys):
    say("β = 1 · done")
    say("no line", end="")
    assert capsys.readouterr().out == "β = 1 · done\nno line"
