"""`vae-course train`: long runs of each model, killed and resumed, on one process and two."""

import itertools
import json
import math
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from fault_tools import wait_for
from torch_tools import assert_same_checkpoint
from vae_course import cli, gpt, losses, metrics, models, pretrained
from vae_course.runs import FAMILIES, command, run
from vae_course.runs import gpt as gpt_family
from vae_course.runs import vae as vae_family
from vae_course.training import History

SMALL = ["--model", "dense-vae", "--dataset", "mnist-5k", "--width", "16", "--latent-dim", "3",
         "--epochs", "5", "--importance-samples", "2", "--device",
         "cpu"]  # fmt: skip


TEXT = "to be, or not to be, that is the question.\n" * 30
SMALL_GPT = ["--model", "gpt", "--layers", "1", "--heads", "2", "--width", "16",
             "--block-size", "8", "--batch-size", "4", "--dropout", "0.1", "--device",
             "cpu"]  # fmt: skip


def train(out, *options):
    return cli.main(["train", *SMALL, "--out", str(out), *map(str, options)])


@pytest.fixture
def text(tmp_path):
    path = tmp_path / "text.txt"
    path.write_text(TEXT)
    return path


def train_gpt(out, text, *options):
    text = ["--data", str(text)] if text else []
    return cli.main(["train", *SMALL_GPT, *text, "--out", str(out), *map(str, options)])


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "whole"
    assert train(out) == 0
    return out


def test_a_run_leaves_weights_card_log_and_checkpoint(finished):
    assert {file.name for file in finished.iterdir()} == {
        "model.safetensors", "model.json", "log.csv", "checkpoint.safetensors",
        "report.html", "samples.png", "nearest.png", "reconstructions.png", "loss.png",
    }  # fmt: skip
    model, card = pretrained.load_vae(finished / "model.safetensors")
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


def test_a_run_starts_from_trained_weights(finished, tmp_path):
    start = finished / "model.safetensors"
    options = ["--start", start, "--samples", 3, "--epochs", 1, "--learning-rate", 1e-12]
    assert train(tmp_path / "run", *options) == 0
    before, after = (load_file(path) for path in (start, tmp_path / "run" / "model.safetensors"))
    for name, value in before.items():
        torch.testing.assert_close(after[name], value, atol=1e-6, rtol=0)


def test_a_run_of_a_gpt_too(text, tmp_path, capsys):
    out = tmp_path / "run"
    assert train_gpt(out, text, "--steps", 30, "--store", "float16", "--evaluate-every", 20) == 0
    model, tokenizer, card = pretrained.load_gpt(out / "model.safetensors")
    assert tokenizer.characters == "".join(sorted(set(TEXT)))
    assert {p.dtype for p in model.parameters()} == {torch.float32} and not model.training
    _, rest = gpt.split(tokenizer.encode(TEXT))
    measured = card["measured"]["validation_loss"]
    assert measured == pytest.approx(gpt_family.mean_loss(model, rest, 8), abs=1e-4)
    assert measured < math.log(len(tokenizer)) and str(measured) in capsys.readouterr().out
    assert card["measured"]["steps"] == 30 and card["weights"]["dtype"] == "float16"
    assert card["parameters"] == sum(p.numel() for p in model.parameters())
    log = History.from_csv(out / "log.csv")
    assert log["step"] == [20, 30] and log["characters"] == [640, 960]


def own_pictures(folder):
    chance = np.random.default_rng(0)
    for name in ("cat", "dog"):
        (folder / name).mkdir(parents=True)
        for number in range(30):
            pixels = chance.integers(0, 256, (20, 24, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{number}.png")
    return folder


def test_own_pictures_under_another_likelihood(tmp_path):
    mine = own_pictures(tmp_path / "mine")
    options = ["--model", "conditional-vae", "--width", 4, "--data", mine, "--size", 16,
               "--likelihood", "gaussian:learned", "--batch-size", 8]  # fmt: skip
    assert train(tmp_path / "run", *options, "--epochs", 1) == 0
    model, card = pretrained.load(tmp_path / "run" / "model.safetensors")
    assert card["architecture"]["image_shape"] == [3, 16, 16]
    assert card["architecture"]["classes"] == 2
    assert repr(model.likelihood).startswith("Gaussian")
    assert model.decode(torch.zeros(2, 3), torch.tensor([0, 1])).shape == (2, 3, 16, 16)


def test_an_own_array_and_a_table(tmp_path):
    chance = np.random.default_rng(0)
    np.save(tmp_path / "mine.npy", chance.integers(0, 256, (60, 10, 12), dtype=np.uint8))
    lines = [f"{x:.3f},{n},{'ab'[n % 2]}" for x, n in zip(chance.normal(size=60), range(60))]
    (tmp_path / "mine.csv").write_text("\n".join(["length,number,kind", *lines]) + "\n")
    cases = ("mine.npy", "dense-vae", (1, 10, 12)), ("mine.csv", "table-vae", (3,))
    for name, model, shape in cases:
        out, options = tmp_path / model, ["--model", model, "--data", tmp_path / name]
        assert train(out, *options, "--epochs", 1, "--batch-size", 8) == 0
        loaded, card = pretrained.load(out / "model.safetensors")
        assert loaded.decode(torch.zeros(2, 3)).shape == (2, *shape)
        assert math.isfinite(card["measured"]["negative_elbo"]["mean"])


def test_a_longer_text_run_follows_with_more_steps(text, tmp_path):
    out = tmp_path / "run"
    assert train_gpt(out, text, "--steps", 5) == 0
    options = ["--model", "gpt", "--out", str(out), "--resume", "--steps", "9"]
    assert cli.main(["train", *options]) == 0
    card = json.loads((out / "model.json").read_text())
    assert card["measured"]["steps"] == 9 and len(card["commands"]) == 2
    assert card["commands"][1].endswith("--steps 9 --resume --out FOLDER")
    assert History.from_csv(out / "log.csv")["step"] == [5, 9]


@pytest.mark.parametrize("stopped_after", [1, 2])
def test_a_resumed_text_run_equals_an_uninterrupted_one(text, tmp_path, stopped_after, monkeypatch):
    options = ["--steps", 12, "--evaluate-every", 4, "--warm-up", 3]
    assert train_gpt(tmp_path / "whole", text, *options) == 0
    save, saved = run.Run.save, itertools.count(1)

    def stops(self):
        save(self)
        if next(saved) == stopped_after:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(run.Run, "save", stops)
        assert train_gpt(tmp_path / "halves", text, *options) == 130
    torch.manual_seed(99)
    assert train_gpt(tmp_path / "halves", text, *options, "--resume") == 0
    assert_same_checkpoint(*(tmp_path / n / "checkpoint.safetensors" for n in ("whole", "halves")))


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(finished, tmp_path):
    assert train(tmp_path / "again") == 0
    assert train(tmp_path / "other", "--seed", "1") == 0
    first, again, other = (
        load_file(out / "model.safetensors")
        for out in (finished, tmp_path / "again", tmp_path / "other")
    )
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["decoder.0.weight"], other["decoder.0.weight"])


# Its default precision is bfloat16.
HALF = ["--model", "two-level-vae", "--width", "8", "--latent-dim", "3", "--upper-dim", "2",
        "--epochs", "1", "--batch-size", "50", "--importance-samples", "2", "--device",
        "cpu"]  # fmt: skip


@pytest.mark.parametrize(("times", "given", "taken", "words"), [
    (9.0, [], "float32", "--precision float32 is taken in place of bfloat16: on this processor a"),
    (9.0, ["--precision", "bfloat16"], "bfloat16", "A new run with --precision float32"),
    (9.0, ["--optimizer", "muon"], "float32", "Slow: Muon computes in bfloat16"),
    (1.1, [], "bfloat16", ""),
])  # fmt: skip
def test_bfloat16_gives_way_where_it_is_slow(
    tmp_path, monkeypatch, capsys, times, given, taken, words
):
    if "muon" in given and not hasattr(torch.optim, "Muon"):
        pytest.skip("this torch has no Muon")
    monkeypatch.setattr(command, "_times_as_long", lambda device: times)
    np.save(tmp_path / "few.npy", np.random.default_rng(0).random((120, 28, 28), np.float32))
    given = ["--data", str(tmp_path / "few.npy"), *given]
    assert cli.main(["train", *HALF, *given, "--out", str(tmp_path / "run")]) == 0
    printed = capsys.readouterr().out
    assert words in printed and ("9 times" in printed) == (times > 2)
    card = json.loads((tmp_path / "run" / "model.json").read_text(encoding="utf-8"))
    assert card["protocol"]["precision"] == taken
    assert ("--precision float32" in card["commands"][0]) == (taken == "float32")
    again = ["train", "--model", "two-level-vae", "--resume", "--out", str(tmp_path / "run")]
    assert cli.main([*again, "--device", "cpu"]) == 0  # what was taken is kept
    card = json.loads((tmp_path / "run" / "model.json").read_text(encoding="utf-8"))
    assert card["protocol"]["precision"] == taken


def test_a_layer_is_timed_in_both_precisions():
    assert 0.05 < command._times_as_long("cpu") < 100


@pytest.mark.processes
@pytest.mark.skipif(os.name != "posix", reason="kill -9 is a POSIX way to die")
def test_a_killed_command_resumes_to_the_same_weights(finished, tmp_path):
    out, kills = tmp_path / "killed", 0
    path = out / "checkpoint.safetensors"
    threads = str(torch.get_num_threads())  # as many as `finished` had: sums differ by that
    environment = os.environ | {"TQDM_DISABLE": "1", "OMP_NUM_THREADS": threads}
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


@pytest.mark.processes
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


def objective(samples, model="dense-vae", **options):
    torch.manual_seed(3)
    settings = command.settings_from(model, samples=samples, latent_dim=4, width=5, **options)
    vae = models.build_vae(model, latent_dim=4, width=5)
    return vae_family.Objective(vae, settings)


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


def encoder_gradients(gradient, samples, times=60):
    r"""Of one image 300 times over, `times` anew: (times, 2 D), by the encoder's last bias."""
    held = objective(samples, gradient=gradient)
    image = torch.rand(1, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    rows, bias = [], held.vae.encoder[-1].bias
    for _ in range(times):
        held.zero_grad()
        held(image.expand(300, -1, -1, -1), None)["loss"].backward()
        rows.append(bias.grad.clone())
    return torch.stack(rows)


@pytest.mark.parametrize("samples", [1, 3])
def test_the_path_alone_gives_the_same_gradient_on_average(samples):
    usual, path = (encoder_gradients(gradient, samples) for gradient in ("usual", "path"))
    error = ((usual.var(dim=0) + path.var(dim=0)) / len(usual)).sqrt()  # of the difference
    apart = (usual.mean(dim=0) - path.mean(dim=0)) / error
    assert apart.abs().max() < 4, "differences as large as their errors, no larger"
    assert usual.mean(dim=0).norm() > 20 * error.norm(), "and not because all is noise"
    assert not torch.allclose(usual.mean(dim=0), path.mean(dim=0), rtol=1e-4)


def test_at_the_posterior_the_path_has_no_noise():
    r"""Where q(z | x) = p(z | x) = p(z), the gradient by each path is 0, not on average."""
    spread = {}
    for gradient in ("usual", "path"):
        held = objective(3, gradient=gradient)
        for layer in (held.vae.encoder[-1], held.vae.decoder[0]):
            torch.nn.init.zeros_(layer.weight)
            torch.nn.init.zeros_(layer.bias)
        held(torch.rand(5, 1, 28, 28), None)["loss"].backward()
        spread[gradient] = held.vae.encoder[-1].bias.grad.abs().max()
    assert spread["path"] < 1e-6 < 0.01 < spread["usual"]


@pytest.mark.parametrize("samples", [1, 4])
def test_the_decoder_learns_the_same_by_path(samples):
    grads = []
    for gradient in ("usual", "path"):
        held = objective(samples, gradient=gradient)
        torch.manual_seed(2)
        held(torch.rand(5, 1, 28, 28), None)["loss"].backward()
        grads.append(held.vae.decoder[0].weight.grad)
    assert torch.allclose(*grads, atol=1e-6)


# ------------------------------------------------------------------------- bad arguments


def refused(code_of):
    try:
        return code_of()
    except SystemExit as leaving:
        return leaving.code


@pytest.mark.parametrize("options, words", [
    (["--epochs", "0"], "whole number"),
    (["--epochs", "x"], "invalid whole number"),
    (["--model", "vae"], "invalid choice"),
    (["--learning-rate", "-1"], "positive"),
    (["--dataset", "mnits"], "mnits"),
    (["--heads", "3"], "unrecognized arguments: --heads 3 (see vae-course train --model dense"),
    (["--batch-size", "5000"], "4,000 training images"),
    (["--model", "paper-vae"], "784-200-200-50"),
    (["--resume"], "no checkpoint to resume"),
    (["--device", "tpu"], "'auto', 'cpu', 'cuda', 'mps'"),
    (["--model", "table-vae"], "table-vae is for tables"),
    (["--likelihood", "cauchy"], "there is no likelihood 'cauchy'"),
    (["--device", "mps"], "torch finds none here"),
    (["--start", "vae-conv"], "other layers than this model"),
    (["--model", "two-level-vae", "--gradient", "path"], "by the usual gradient"),
    (["--model", "two-level-vae", "--likelihood", "gaussian:learned"], "no choice of --likelihood"),
    (["--model", "conv-vae", "--layers", "2"], "no choice of --layers (dense-vae): leave it out"),
    (["--upper-dim", "4"], "no choice of --upper-dim (two-level-vae)"),
])  # fmt: skip
def test_bad_arguments_get_one_line_and_exit_code_2(options, words, tmp_path, capsys):
    code = refused(lambda: train(tmp_path / "run", *options))
    error = capsys.readouterr().err
    assert code == 2 and words in error and error.count("\n") == 1, error
    assert not (tmp_path / "run").exists()


def test_a_model_of_one_shape_refuses_other_pictures(tmp_path, capsys):
    np.save(tmp_path / "small.npy", np.random.default_rng(0).random((120, 8, 8), np.float32))
    options = ["--data", str(tmp_path / "small.npy"), "--out", str(tmp_path / "run")]
    assert cli.main(["train", *HALF, *options]) == 2
    error = capsys.readouterr().err
    assert "is for images of shape (1, 28, 28), got (1, 8, 8): take conv-vae" in error
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("options, words", [
    (["--heads", "3"], "width 16 can't be shared among 3 heads"),
    (["--dropout", "1.5"], "dropout must be"),
    (["--epochs", "3"], "unrecognized arguments"),
    (["--preset", "day"], "invalid choice"),
    (["--data", "shakespere"], "Did you mean 'shakespeare'?"),
    (["--block-size", "2000"], "too short"),
])  # fmt: skip
def test_bad_arguments_of_a_gpt(options, words, text, tmp_path, capsys):
    code = refused(lambda: train_gpt(tmp_path / "run", text, *options))
    error = capsys.readouterr().err
    assert code == 2 and words in error and error.count("\n") == 1, error
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("model", FAMILIES)
def test_each_model_shows_its_own_options(model, capsys):
    with pytest.raises(SystemExit):
        cli.main(["train", "--model", model, "--help"])
    shown = capsys.readouterr().out
    assert "--learning-rate" in shown and "(default:" in shown
    assert ("--heads" in shown) == (model in ("gpt", "vq-vae", "vq-prior"))
    assert ("--block-size" in shown) == (model == "gpt")


def test_presets():
    assert command.settings_from("gpt", preset="hour", steps=7).steps == 7
    with pytest.raises(ValueError, match="choose from minutes, hour"):
        command.settings_from("gpt", preset="day")
    with pytest.raises(ValueError, match="there is no model 'cnn'"):
        command.settings_from("cnn")


def test_another_text_than_before(text, tmp_path, capsys):
    assert train_gpt(tmp_path / "out", text, "--steps", 1) == 0
    text.write_text(TEXT + "and more")
    assert train_gpt(tmp_path / "out", text, "--steps", 1, "--resume") == 2
    assert "trained on other data" in capsys.readouterr().err


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


def test_a_gpt_checkpoint_is_not_taken_for_a_vae(finished, text, tmp_path, capsys):
    assert train_gpt(tmp_path / "gpt", text, "--steps", 1) == 0
    assert train(tmp_path / "gpt", "--resume") == 2
    assert "a run of gpt, not of dense-vae" in capsys.readouterr().err
    save_file({"model/x": torch.zeros(1)}, tmp_path / "gpt" / "checkpoint.safetensors")
    assert train(tmp_path / "gpt", "--resume") == 2
    assert "no checkpoint of this course" in capsys.readouterr().err


def test_a_diverging_run_says_so(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(vae_family.Task, "learning_rate_at", lambda *_: 1e30)
    code = train(tmp_path / "run")
    error = capsys.readouterr().err
    assert code == 1 and error.count("\n") == 1
    assert re.search(r"loss became \S+ in epoch 1, step \d+ of 31, learning rate 1e\+30: ", error)


def test_the_schedule_of_a_vae_rises_then_falls_to_nothing():
    task = vae_family.Task.__new__(vae_family.Task)
    task.settings, task.steps = command.settings_from("conv-vae"), 10_000
    rates = [task.learning_rate_at(step) for step in range(10_000)]
    top = max(range(10_000), key=rates.__getitem__)
    assert 150 <= top <= 250 and rates[top] == pytest.approx(1e-3, rel=0.01)
    assert rates[0] == pytest.approx(1e-3 / 200) and rates[-1] < 1e-8
    assert rates[top:] == sorted(rates[top:], reverse=True)


def test_that_of_a_gpt_rises_stays_and_falls_to_nothing():
    task = gpt_family.Task.__new__(gpt_family.Task)
    task.settings = command.settings_from("gpt", warm_up=10, decay=0.5, learning_rate=1.0)
    task.steps = 100
    rates = [task.learning_rate_at(step) for step in range(100)]
    assert rates[0] == pytest.approx(0.1) and rates[9:51] == [1.0] * 42
    assert rates[75] == pytest.approx(0.5) and rates[99] == pytest.approx(0.02)


def test_numbers_reach_a_tracker_of_accelerate(tmp_path):
    pytest.importorskip("tensorboard")
    assert train(tmp_path / "run", "--epochs", "1", "--log-with", "tensorboard") == 0
    assert list((tmp_path / "run").rglob("events.out.tfevents*"))
