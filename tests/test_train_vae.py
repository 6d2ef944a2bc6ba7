"""`vae-course train --model conv-vae …`: long runs, killed and resumed, on one process and two."""

import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import time

import pytest
import torch
from safetensors.torch import load_file, save_file

from fault_tools import wait_for
from vae_course import cli, losses, metrics, models
from vae_course.pretrained import load_vae
from vae_course.runs import train_vae
from vae_course.runs.vae_objective import Objective
from vae_course.training.history import History

SMALL = ["--model", "dense-vae", "--dataset", "mnist-5k", "--width", "16", "--latent-dim", "3",
         "--epochs", "5", "--importance-samples", "2", "--device",
         "cpu"]  # fmt: skip


def train(out, *options):
    return cli.main(["train", *SMALL, "--out", str(out), *options])


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "whole"
    assert train(out) == 0
    return out


def test_a_run_leaves_weights_card_log_and_checkpoint(finished):
    assert {file.name for file in finished.iterdir()} == {
        "model.safetensors", "model.json", "log.csv", "checkpoint.safetensors",
    }  # fmt: skip
    model, card = load_vae(finished / "model.safetensors")
    assert isinstance(model, models.VAE) and not model.training and model.latent_dim == 3
    history = History.from_csv(finished / "log.csv")
    assert history["epoch"] == [1, 2, 3, 4, 5]
    assert history["train_loss"][4] < history["train_loss"][0]
    assert history["learning_rate"][4] < history["learning_rate"][0]
    for row in history.rows:
        parts = row["train_reconstruction"] + row["train_kl"]
        assert row["train_loss"] == pytest.approx(parts, abs=1e-3)
    measured = card["measured"]
    assert measured["negative_elbo"]["mean"] == pytest.approx(history["test_loss"][4], rel=0.01)
    assert measured["negative_importance_bound_2"]["mean"] < measured["negative_elbo"]["mean"]
    assert measured["active_units"] <= 3 and card["parameters"] == 784 * 32 + 16 + 6 * 16 + 6 + (
        3 * 16 + 16 + 784
    )
    assert card["commands"][0].startswith("vae-course train --model dense-vae")


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(finished, tmp_path):
    assert train(tmp_path / "again") == 0
    assert train(tmp_path / "other", "--seed", "1") == 0
    first, again, other = (
        load_file(out / "model.safetensors")
        for out in (finished, tmp_path / "again", tmp_path / "other")
    )
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["decoder.0.weight"], other["decoder.0.weight"])


@pytest.mark.skipif(os.name != "posix", reason="kill -9 is a POSIX way to die")
def test_a_killed_command_resumes_to_the_same_weights(finished, tmp_path):
    out, kills = tmp_path / "killed", 0
    path = out / "checkpoint.safetensors"
    environment = os.environ | {"TQDM_DISABLE": "1", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "vae_course", "train", *SMALL, "--out", str(out)]
    done = False
    while not done:
        resume = ["--resume"] * path.exists()
        process = subprocess.Popen(
            [*command, *resume], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        if kills < 2:  # before the first step, in an epoch, or while something is written
            wait_for(process, path if out.exists() else out)
            time.sleep(random.uniform(0.0, 0.3))
            process.send_signal(signal.SIGKILL)
        _, errors = process.communicate()
        assert process.returncode in (0, -signal.SIGKILL), errors.decode()
        kills += process.returncode == -signal.SIGKILL
        done = process.returncode == 0
    assert kills >= 1
    whole, resumed = (load_file(folder / "model.safetensors") for folder in (finished, out))
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)
    first, second = (History.from_csv(folder / "log.csv").rows for folder in (finished, out))
    for row in (*first, *second):
        row.pop("seconds")
    assert first == second


def free_port():
    """Accelerate 1.0 does not look for one itself."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


def test_two_processes_train_with_the_same_effective_batch(finished, tmp_path):
    out = tmp_path / "two"
    command = [
        sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2",
        "--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no",
        "--num_cpu_threads_per_process", "1", "--main_process_port", free_port(),
        "-m", "vae_course", "train", *SMALL, "--out", str(out),
    ]  # fmt: skip
    environment = os.environ | {"TQDM_DISABLE": "1", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("epoch 5/5") == 1, "only the first process speaks"
    card = json.loads((out / "model.json").read_text())
    assert card["measured"]["processes"] == 2
    one, two = (History.from_csv(folder / "log.csv") for folder in (finished, out))
    for name in ("train_loss", "test_loss"):
        for first, second in zip(one[name], two[name]):
            assert first == pytest.approx(second, rel=0.01), name
    # The first batches differ in their noise alone, so that the weights are close, not equal.
    first, second = (load_file(folder / "model.safetensors") for folder in (finished, out))
    assert not torch.equal(first["decoder.0.weight"], second["decoder.0.weight"])


# ------------------------------------------------------------------------- the objective


def objective(samples, model="dense-vae"):
    torch.manual_seed(3)
    settings = train_vae.settings_from(model, samples=samples, latent_dim=4, width=5)
    return Objective(settings.build(), settings)


def test_with_one_sample_the_objective_is_the_elbo():
    image, label = torch.rand(6, 1, 28, 28), torch.arange(6)
    held = objective(1)
    torch.manual_seed(11)
    terms = held(image, label)
    torch.manual_seed(11)
    mean, log_var = held.vae.encode(image)
    latent = mean + torch.exp(0.5 * log_var) * torch.randn(1, 6, 4)[0]
    expected = losses.negative_elbo(held.vae.decoder(latent), image, mean, log_var)
    assert terms["loss"].item() == pytest.approx(expected.item(), rel=1e-6)


@pytest.mark.parametrize("model", ["dense-vae", "conditional-vae"])
def test_the_importance_weighted_objective_is_the_bound_of_the_metrics(model):
    image, label = torch.rand(3, 1, 28, 28), torch.tensor([0, 9, 4])
    many = objective(400, model)
    labels = label if model == "conditional-vae" else None
    torch.manual_seed(0)
    loss = many(image, label)["loss"].item()
    bound = metrics.importance_bound(many.vae, image, samples=400, labels=labels, seed=5)
    assert loss == pytest.approx(-bound.mean().item(), rel=0.005)


# ------------------------------------------------------------------------- bad arguments


@pytest.mark.parametrize("options, words", [
    (["--epochs", "0"], "whole number"),
    (["--epochs", "x"], "whole number"),
    (["--model", "vae"], "invalid choice"),
    (["--learning-rate", "-1"], "positive"),
    (["--dataset", "mnits"], "mnits"),
    (["--layers", "3"], "belongs to --model gpt"),
    (["--batch-size", "5000"], "4,000 training images"),
    (["--model", "paper-vae"], "784-200-200-50"),
    (["--resume"], "no checkpoint to resume"),
    (["--device", "tpu"], "choose from auto, cpu, cuda"),
])  # fmt: skip
def test_bad_arguments_get_one_line_and_exit_code_2(options, words, tmp_path, capsys):
    try:
        code = train(tmp_path / "run", *options)
    except SystemExit as leaving:
        code = leaving.code
    error = capsys.readouterr().err
    assert code == 2 and words in error and error.count("\n") == 1, error
    assert not (tmp_path / "run").exists()


def test_a_folder_with_a_run_is_not_overwritten(finished, tmp_path, capsys):
    before = (finished / "model.safetensors").read_bytes()
    assert train(finished) == 2
    assert "--resume" in capsys.readouterr().err
    assert (finished / "model.safetensors").read_bytes() == before
    file = tmp_path / "file"
    file.touch()
    assert train(file) == 2
    assert "is a file" in capsys.readouterr().err


def test_resume_refuses_other_settings_models_and_damage(finished, tmp_path, capsys):
    assert train(finished, "--resume", "--seed", "4") == 2
    assert "--seed" in capsys.readouterr().err
    assert train(finished, "--resume", "--model", "conv-vae") == 2
    assert "run of dense-vae" in capsys.readouterr().err
    copy = tmp_path / "copy"
    shutil.copytree(finished, copy)
    content = bytearray((copy / "checkpoint.safetensors").read_bytes())
    content[len(content) // 2] ^= 4
    (copy / "checkpoint.safetensors").write_bytes(content)
    assert train(copy, "--resume") == 2
    assert "damaged" in capsys.readouterr().err


def test_a_gpt_checkpoint_is_not_taken_for_a_vae(finished, tmp_path, capsys):
    out = tmp_path / "gpt"
    out.mkdir()
    save_file({"model/x": torch.zeros(1)}, out / "checkpoint.safetensors", {"run": "{}"})
    assert train(out, "--resume") == 2
    assert "no checkpoint of this course" in capsys.readouterr().err


def test_a_diverging_run_says_so(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(train_vae.Settings, "learning_rate_at", lambda *_: 1e30)
    code = train(tmp_path / "run")
    error = capsys.readouterr().err
    assert code == 1 and re.search(r"loss became \S+ in epoch 1, learning rate", error)


def test_the_schedule_rises_then_falls_to_nothing():
    settings = train_vae.settings_from("conv-vae")
    rates = [settings.learning_rate_at(step, 10_000) for step in range(10_000)]
    top = max(range(10_000), key=rates.__getitem__)
    assert 150 <= top <= 250 and rates[top] == pytest.approx(1e-3, rel=0.01)
    assert rates[0] == pytest.approx(1e-3 / 200) and rates[-1] < 1e-8
    assert rates[top:] == sorted(rates[top:], reverse=True)
