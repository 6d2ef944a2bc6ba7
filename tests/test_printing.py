"""What the course prints can be printed anywhere: also where the code page knows no "·"."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import vae_course
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
def test_fit_and_checks_print_in_any_code_page(page):
    root = str(Path(vae_course.__file__).parents[1])
    environment = os.environ | {"PYTHONIOENCODING": page, "PYTHONPATH": root, "PYTHONUTF8": "0"}
    done = subprocess.run([sys.executable, "-c", SCRIPT], env=environment, capture_output=True)
    assert done.returncode == 0, done.stderr.decode(page, "replace")
    printed = done.stdout.decode(page)
    assert "train loss" in printed and "gaussian_kl: not right yet" in printed
    assert ("·" in printed) == (page != "ascii" and "·".encode(page, "replace") != b"?")


def test_say_is_print_where_all_can_be_shown(capsys):
    say("β = 1 · done")
    say("no line", end="")
    assert capsys.readouterr().out == "β = 1 · done\nno line"
