"""Faults of training: `fit`, the long run of a VAE and that of a GPT end as if nothing had been."""

import itertools
import math
import os
import pickle
import random
import re
import signal
import subprocess
import sys
import time

import pytest
import torch
from safetensors.torch import save_file
from torch.optim.optimizer import register_optimizer_step_post_hook

from fault_tools import FIT, FullAfter, damages, files_below, small_disk, wait_for
from torch_tools import assert_same_checkpoint, contents, elbo_loss, seeded, small_vae
from vae_course import cli, files
from vae_course.data import ImageData
from vae_course.runs import gpt as gpt_family
from vae_course.runs import images, run
from vae_course.runs import vae as vae_family
from vae_course.training import DeviceLost, TrainingDiverged, fit
from vae_course.training.checkpoints import CheckpointError, read_checkpoint

TEXT = "to be, or not to be, that is the question.\n" * 30
NAME = "checkpoint.safetensors"


def digits(count=256):
    r"""Images that need no loading. Shapes: (count, 1, 28, 28)"""
    images = torch.rand(count, 1, 28, 28, generator=seeded(1))
    labels = torch.arange(count) % 10
    names = tuple("0123456789")
    return ImageData("mnist-5k", images, labels, images[:100], labels[:100], names, "noise")


# ------------------------------------------------------------------------- three ways to train


class Fit:
    r"""A call of `fit` in a notebook: it goes on from its checkpoint by itself."""

    def __init__(self, tmp_path, monkeypatch, capsys):
        self.images, self.model, self.loss = digits(48).train_images, small_vae, elbo_loss

    def __call__(self, out):
        r"""Train into the folder `out`; returns None, or the exception."""
        options = {"epochs": 4, "batch_size": 16, "progress": False, "checkpoint": out / NAME}
        try:
            fit(self.model(), self.loss, self.images, **options)
        except (ValueError, RuntimeError, OSError) as error:
            return error
        return None


class Command:
    r"""`vae-course train …`, with --resume wherever there is a checkpoint."""

    def __init__(self, tmp_path, monkeypatch, capsys):
        self.capsys = capsys
        monkeypatch.setattr(images, "load", lambda *_: digits())
        text = tmp_path / "text.txt"
        text.write_text(TEXT)
        small = {"layers": 1, "heads": 2, "width": 16, "block_size": 8, "batch_size": 4}
        small |= {"steps": 12, "evaluate_every": 4, "dropout": 0.1, "dataset": str(text)}
        monkeypatch.setitem(gpt_family.PRESETS, "minutes", small)

    def __call__(self, out):
        r"""Returns None, or the one line with which the command ended."""
        resume = (out / NAME).exists()
        options = ["--resume"] if resume else self.first
        code = cli.main(["train", *self.always, "--out", str(out), *options])
        said = self.capsys.readouterr().err
        if code == 0:
            return None
        assert code in (1, 2) and said.count("\n") == 1 and said.startswith("vae-course: "), said
        return said


class Vae(Command):
    always = ("--model", "dense-vae", "--device", "cpu")
    first = ("--dataset", "mnist-5k", "--width", "8", "--latent-dim", "2", "--epochs", "4",
             "--batch-size", "64", "--importance-samples", "2")  # fmt: skip


class Gpt(Command):
    always = ("--model", "gpt", "--device", "cpu")
    first = ("--preset", "minutes")


WAYS = {"fit": Fit, "vae": Vae, "gpt": Gpt}
SLOW = {name: [] if name == "fit" else [pytest.mark.processes] for name in WAYS}
PER_ROW = {"fit": 3, "vae": 4, "gpt": 4}  # forward passes of training between two checkpoints


@pytest.fixture(params=[pytest.param(name, marks=SLOW[name]) for name in WAYS])
def way(request, tmp_path, monkeypatch, capsys):
    made = WAYS[request.param](tmp_path, monkeypatch, capsys)
    made.name = request.param
    return made


@pytest.fixture
def out(tmp_path):
    (tmp_path / "run").mkdir()
    return tmp_path / "run"


def assert_goes_on_as_if_nothing_had_been(way, out, tmp_path):
    assert way(out) is None
    (tmp_path / "undisturbed").mkdir()
    assert way(tmp_path / "undisturbed") is None
    assert_same_checkpoint(out / NAME, tmp_path / "undisturbed" / NAME)
    assert not [file for file in files_below(out) if file.endswith(".part")]


class Sabotage:
    r"""Something done once, in the forward pass number `moment` of training."""

    def __init__(self, way, monkeypatch, moment, do):
        calls = itertools.count(1)

        def before(module):
            if module.training and next(calls) == moment:
                do(module)

        if way.name == "fit":
            # In the module itself, as a device's error would be.
            def sabotaged():
                model = small_vae()
                model.register_forward_pre_hook(lambda module, _: before(module))
                return model

            monkeypatch.setattr(way, "model", sabotaged)
        else:
            kind = (vae_family if way.name == "vae" else gpt_family).Objective
            forward = kind.forward

            def sabotaged(self, *args, **kwargs):
                before(self)
                return forward(self, *args, **kwargs)

            monkeypatch.setattr(kind, "forward", sabotaged)


# ------------------------------------------------------------------------- killed

PROGRAMS = {
    "fit": FIT,
    "command": """
import os, sys
from vae_course import cli
from vae_course.runs import gpt, vae
print("ready", flush=True)
resume = ["--resume"] * os.path.exists(sys.argv[1] + "/checkpoint.safetensors")
first = [] if resume and "gpt" in sys.argv else sys.argv[2:]
sys.exit(cli.main(["train", *(first or sys.argv[2:4]), "--out", sys.argv[1], *resume]))
""",
}
MANY = {
    "fit": ("fit", ["2500"]),
    "vae": ("command", ["--model", "dense-vae", *Vae.first, "--epochs", "600", "--device", "cpu"]),
    "gpt": ("command", ["--model", "gpt", "--layers", "1", "--heads", "2", "--width", "16",
                        "--block-size", "8", "--batch-size", "4", "--dropout", "0.1",
                        "--device", "cpu", "--steps", "40000", "--dataset", "text.txt"]),
}  # fmt: skip


@pytest.mark.skipif(os.name != "posix", reason="kill -9 is a POSIX way to die")
@pytest.mark.faults
@pytest.mark.fault(
    "killed (SIGKILL) at random moments",
    how="{name}: after each the same command again; all tensors compared to the last bit",
)
@pytest.mark.parametrize("name", MANY)
def test_killed_at_fifty_random_moments(name, tmp_path, record_property):
    program, arguments = MANY[name]
    (tmp_path / "text.txt").write_text(TEXT)
    (tmp_path / "data").mkdir()
    environment = os.environ | {"TQDM_DISABLE": "1", "OMP_NUM_THREADS": "1"}
    environment["VAE_COURSE_DATA"] = str(tmp_path / "data")
    chance, kills, writing, seen = random.Random(), 0, 0, set()

    def start(folder):
        folder.mkdir(exist_ok=True)
        command = [sys.executable, "-c", PROGRAMS[program], str(folder), *arguments]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        process = subprocess.Popen(command, env=environment, cwd=tmp_path, **pipes)
        assert process.stdout.readline() == "ready\n", process.communicate()
        return process

    out = tmp_path / "killed"
    while kills < 50:
        process = start(out)
        if kills % 5:  # one kill in five is left to fall into the start, with its slow imports
            wait_for(process, out / NAME)
        time.sleep(chance.uniform(0, 0.3 if kills % 5 else 3.0))
        process.send_signal(signal.SIGKILL)
        _, errors = process.communicate()
        assert process.returncode == -signal.SIGKILL, f"after {kills} kills it ended: {errors}"
        kills += 1
        writing += bool(list(out.glob(".*.part")))
        if (out / NAME).exists():
            seen.add(len(read_checkpoint(out / NAME).state["rows"]))  # never half a file
    record_property("tried", kills)
    where = f"after {len(seen)} different checkpoints, {writing} times while one was written"
    record_property("note", f"{name}, {kills} times, {where}")
    assert len(seen) >= 20  # else it never trained before it was killed, and nothing was tried

    for folder in (out, tmp_path / "whole"):
        process = start(folder)
        _, errors = process.communicate()
        assert process.returncode == 0, errors
    assert_same_checkpoint(out / NAME, tmp_path / "whole" / NAME)
    assert not list(out.glob(".*.part"))


# ------------------------------------------------------------------------- interrupted

SETUP = """
import torch
from vae_course import losses, models
from vae_course.training import evaluate, fit
torch.manual_seed(7)
model = models.VAE.dense(2, hidden=16)
images = torch.rand(200, 1, 28, 28)
def loss(model, image):
    logits, mean, log_var = model(image)
    return losses.negative_elbo(logits, image, mean, log_var)
def told(epoch, model, history):
    if epoch == begun + 2:
        print("running", flush=True)
"""
TRAIN = """
begun = {begun}
history = fit(model, loss, images, epochs=10**6, batch_size=16, after_epoch=told, {option})
"""
ANSI = r"\x1b\[[0-9;]*m"
USE = """
import sys
history = sys.last_value.history
assert history.interrupted and len(history) >= 2, history
assert all(p.isfinite().all() for p in model.parameters())
assert evaluate(model, loss, images)["loss"] < 600
fit(model, loss, images, epochs=1, progress=False)
print("usable", len(history))
"""


class Kernel:
    def __init__(self):
        from jupyter_client.manager import start_new_kernel

        self.manager, self.client = start_new_kernel(startup_timeout=120)

    def run(self, code, *, when="", then=None):
        r"""(status, printed); once `when` is printed, `then()` is called."""
        message, printed = self.client.execute(code), ""
        while True:
            got = self.client.get_iopub_msg(timeout=120)
            if got["parent_header"].get("msg_id") != message:
                continue
            if got["msg_type"] == "stream":
                printed += got["content"]["text"]
                if then is not None and when in printed:
                    then()
                    then = None
            elif got["msg_type"] == "error":
                printed += "\n".join(got["content"]["traceback"])
            elif got["msg_type"] == "status" and got["content"]["execution_state"] == "idle":
                reply = {}  # those of the kernel's start may stand before it
                while reply.get("parent_header", {}).get("msg_id") != message:
                    reply = self.client.get_shell_msg(timeout=120)
                return reply["content"]["status"], printed

    def close(self):
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)


@pytest.mark.fault(
    "interrupted from the notebook", how="the stop button's signal to a real kernel, in mid-epoch"
)
@pytest.mark.processes
def test_interrupted_in_a_kernel(tmp_path, record_property):
    chance, kernel = random.Random(), Kernel()
    path = tmp_path / NAME

    def stop():
        time.sleep(chance.uniform(0, 0.1))
        kernel.manager.interrupt_kernel()

    try:
        assert kernel.run(SETUP) == ("ok", "")
        for number in range(10):
            begun = len(read_checkpoint(path).state["rows"]) if path.exists() else 0
            option = f"checkpoint={str(path)!r}" if number % 2 else ""
            code = TRAIN.format(begun=begun if option else 0, option=option)
            status, printed = kernel.run(code, when="running", then=stop)
            assert status == "error", "Run All would go on"
            assert "TrainingInterrupted: interrupted in epoch" in re.sub(ANSI, "", printed)
            status, printed = kernel.run(USE)
            assert status == "ok" and printed.startswith("usable"), printed
            if option:
                stored = len(read_checkpoint(path).state["rows"])
                assert stored >= begun + 1  # it is told of two, the second not stored yet
            assert not list(tmp_path.glob(".*.part"))
        record_property("tried", number + 1)
    finally:
        kernel.close()


# ------------------------------------------------------------------------- the disk


def size_of_a_run(way, tmp_path):
    (tmp_path / "measured").mkdir()
    assert way(tmp_path / "measured") is None
    return (tmp_path / "measured" / NAME).stat().st_size


def assert_full_but_kept(way, out):
    r"""The second checkpoint did not fit; the first one is there, whole, and nothing else is."""
    said = way(out)
    assert said is not None
    assert "No space left" in str(said) and NAME in str(said) and "still there" in str(said)
    assert len(contents(out / NAME)[1]["rows"]) == 1
    assert not [file for file in files_below(out) if file.endswith(".part")]


@pytest.mark.fault(
    "disk full while a checkpoint is written", how="{way}: a tmpfs with room for one and a half"
)
def test_a_disk_too_small_for_the_second_checkpoint(way, out, tmp_path):
    with small_disk(out, int(1.5 * size_of_a_run(way, tmp_path))) as disk:
        assert_full_but_kept(way, out)
        disk.resize("64m")
        assert_goes_on_as_if_nothing_had_been(way, out, tmp_path)


@pytest.mark.fault(
    "disk full while a checkpoint is written", how="{way}: ENOSPC halfway through the second one"
)
def test_a_disk_that_becomes_full_halfway_through(way, out, tmp_path, monkeypatch):
    room = int(1.5 * size_of_a_run(way, tmp_path))
    with monkeypatch.context() as patch:
        patch.setattr(files, "open", FullAfter(room), raising=False)
        assert_full_but_kept(way, out)
    assert_goes_on_as_if_nothing_had_been(way, out, tmp_path)


# ------------------------------------------------------------------------- NaN


def poison(module):
    with torch.no_grad():
        next(module.parameters()).view(-1)[3] = math.nan


def assert_said_where_and_kept(way, out, number):
    said = way(out)
    epoch, step = divmod(number - 1, PER_ROW[way.name])
    where = {
        "fit": f"the loss became nan in epoch {epoch + 1}, step {step + 1} of 3",
        "vae": f"the loss became nan in epoch {epoch + 1}, step {step + 1} of 4, learning rate",
        "gpt": f"the loss became nan in epoch {epoch + 1}, step {step + 1} of 4, learning rate",
    }
    assert where[way.name] in str(said), said
    assert isinstance(said, TrainingDiverged if way.name == "fit" else str)
    tensors, state = contents(out / NAME)
    assert len(state["rows"]) == epoch
    assert all(t.isfinite().all() for t in tensors.values() if t.is_floating_point())


@pytest.mark.fault("NaN injected", how="{way}: into a weight, in the middle of training")
def test_nan_in_a_weight(way, out, tmp_path, monkeypatch):
    number = 2 * PER_ROW[way.name] + 2
    with monkeypatch.context() as patch:
        Sabotage(way, patch, number, poison)
        assert_said_where_and_kept(way, out, number)
    assert_goes_on_as_if_nothing_had_been(way, out, tmp_path)


@pytest.mark.fault("NaN injected", how="{way}: into the loss")
def test_nan_in_the_loss(way, out, tmp_path, monkeypatch):
    number, calls = PER_ROW[way.name] + 3, itertools.count(1)
    place, name = {
        "fit": (way, "loss"), "vae": (vae_family.Objective, "forward"),
        "gpt": (gpt_family.Objective, "forward"),
    }[way.name]  # fmt: skip
    right = getattr(place, name)

    def wrong(*args):
        result, training = right(*args), torch.is_grad_enabled()
        if not training or next(calls) != number:
            return result
        if isinstance(result, dict):
            return {name: value * math.nan for name, value in result.items()}
        return result * math.nan

    with monkeypatch.context() as patch:
        patch.setattr(place, name, wrong)
        assert_said_where_and_kept(way, out, number)
    assert_goes_on_as_if_nothing_had_been(way, out, tmp_path)


@pytest.mark.fault("NaN injected", how="fit: into one pixel of one image")
def test_nan_in_the_images(out, tmp_path, monkeypatch, capsys):
    way = Fit(tmp_path, monkeypatch, capsys)
    whole, way.images = way.images, way.images.clone()
    way.images[17, 0, 3, 5] = math.nan
    said, seen = way(out), []
    assert isinstance(said, ValueError) and "holds 1 NaN" in str(said)  # a loss of the course

    way.loss = lambda model, image: (model(image)[0] - image).square().mean()  # one's own
    said = way(out)
    assert isinstance(said, TrainingDiverged) and said.epoch == 1
    assert "images[17] holds NaN" in str(said)

    def watching(model, image):  # which batch of the first epoch holds image 17?
        seen.append(bool((image == whole[17]).flatten(1).all(1).any()))
        return elbo_loss(model, image)

    fit(small_vae(), watching, whole, epochs=1, batch_size=16, progress=False)
    assert said.step == seen.index(True) + 1
    assert not (out / NAME).exists()


@pytest.mark.fault("NaN injected", how="{way}: by the last step before a checkpoint")
def test_nan_after_the_last_step_is_not_stored(way, out, tmp_path):
    """The weights are broken, and no loss of this epoch has shown it yet."""
    number, calls = 2 * PER_ROW[way.name], itertools.count(1)

    def hook(optimizer, *_):
        if next(calls) == number:
            with torch.no_grad():
                optimizer.param_groups[0]["params"][0].view(-1)[3] = math.nan

    handle = register_optimizer_step_post_hook(hook)
    try:
        said = way(out)
    finally:
        handle.remove()
    where = {
        "fit": "a weight of the model became NaN or infinite in epoch 2",
        "vae": "the test loss became nan in epoch 2",
        "gpt": "the validation loss became nan in epoch 2",
    }
    assert where[way.name] in str(said), said
    tensors, state = contents(out / NAME)
    assert len(state["rows"]) == 1
    assert all(t.isfinite().all() for t in tensors.values() if t.is_floating_point())
    assert_goes_on_as_if_nothing_had_been(way, out, tmp_path)


# ------------------------------------------------------------------------- the device

GONE = (
    "CUDA error: unspecified launch failure\nCUDA kernel errors might be asynchronously reported "
    "at some other API call, so the stacktrace below might be incorrect."
)


def lose_device(module):
    raise RuntimeError(GONE)


@pytest.mark.fault(
    "the device disappears", how="{way}: simulated, a module raises CUDA's error in mid-epoch"
)
def test_a_device_that_disappears(way, out, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        Sabotage(way, patch, 2 * PER_ROW[way.name] + 2, lose_device)
        said = way(out)
    assert "The device stopped working (CUDA error: unspecified launch failure)" in str(said)
    assert ("make the same call again" if way.name == "fit" else "--resume") in str(said)
    assert isinstance(said, DeviceLost if way.name == "fit" else str)
    assert len(contents(out / NAME)[1]["rows"]) == 2
    assert_goes_on_as_if_nothing_had_been(way, out, tmp_path)


@pytest.mark.parametrize("text", ["mat1 and mat2 cannot be multiplied", "CUDA out of memory"])
def test_other_errors_are_not_taken_for_a_lost_device(text, out, tmp_path, monkeypatch, capsys):
    def mistaken(model, image):
        raise RuntimeError(text)

    way = Fit(tmp_path, monkeypatch, capsys)
    way.loss = mistaken
    error = way(out)
    assert type(error) is RuntimeError and str(error) == text


# ------------------------------------------------------------------------- foreign checkpoints


@pytest.fixture
def finished(way, out):
    assert way(out) is None
    return out / NAME


def assert_refused(way, out, *words):
    before = (out / NAME).read_bytes()
    said = str(way(out))
    for word in (str(out), *words):
        assert word in said, said
    assert (out / NAME).read_bytes() == before


@pytest.mark.fault("checkpoint cut at {share:.0%}", how="{way}: resumed from it")
@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.99])
def test_a_truncated_checkpoint(share, way, out, finished):
    content = finished.read_bytes()
    finished.write_bytes(content[: int(share * len(content))])
    assert_refused(way, out, "give another path to start again")


@pytest.mark.fault("checkpoint with a flipped bit", how="{way}: resumed from it")
def test_a_checkpoint_with_a_flipped_bit(way, out, finished):
    content = bytearray(finished.read_bytes())
    content[2 * len(content) // 3] ^= 4
    finished.write_bytes(content)
    assert_refused(way, out, "damaged", "ive another path to start again")


@pytest.mark.fault("checkpoint with a flipped bit", how="fit: one bit, anywhere, 200 times")
def test_any_flipped_bit_is_noticed(tmp_path, monkeypatch, capsys, record_property):
    assert Fit(tmp_path, monkeypatch, capsys)(tmp_path) is None
    path, noticed = tmp_path / NAME, 0
    for damaged in damages(path.read_bytes(), flips=200, cuts=0):
        path.write_bytes(damaged)
        try:
            read_checkpoint(path)
        except CheckpointError:
            noticed += 1
    record_property("tried", 200)
    record_property("survived", noticed)
    assert noticed == 200


@pytest.mark.fault("a pickle in disguise", how="{way}: {kind} under the checkpoint's name")
@pytest.mark.parametrize("kind", ["a pickle", "a file of torch.save", "a pickle behind a header"])
def test_a_pickle_is_never_unpickled(kind, way, out, tmp_path):
    class Trap:
        def __reduce__(self):
            return (os.mkdir, (str(tmp_path / "trapped"),))

    if kind == "a file of torch.save":
        torch.save({"model": Trap()}, out / NAME)
    elif kind == "a pickle":
        (out / NAME).write_bytes(pickle.dumps(Trap()))
    else:
        save_file({"x": torch.zeros(1)}, out / NAME, {"format": "vae-course checkpoint 1"})
        (out / NAME).write_bytes((out / NAME).read_bytes() + pickle.dumps(Trap()))
    assert_refused(way, out)
    assert not (tmp_path / "trapped").exists()
    pickle.loads(pickle.dumps(Trap()))
    assert (tmp_path / "trapped").exists()  # it would have shown


@pytest.mark.fault("checkpoint of another training", how="{way}: given the checkpoint of {other}")
@pytest.mark.parametrize(
    ("way", "other"),
    [pytest.param(*two, marks=SLOW[two[0]]) for two in itertools.permutations(WAYS, 2)],
    indirect=["way"],
)
def test_a_checkpoint_of_another_program(other, way, out, tmp_path, monkeypatch, capsys):
    (tmp_path / "other").mkdir()
    assert WAYS[other](tmp_path, monkeypatch, capsys)(tmp_path / "other") is None
    (out / NAME).write_bytes((tmp_path / "other" / NAME).read_bytes())
    words = {"fit": "not written by fit()", "vae": "no checkpoint", "gpt": "no checkpoint"}
    ran = {"vae": "holds a run of dense-vae", "gpt": "holds a run of gpt"}
    assert_refused(way, out, words[way.name] if "fit" in (way.name, other) else ran[other])


@pytest.mark.fault("checkpoint of another architecture", how="fit: seven hidden units, not six")
def test_another_architecture(out, tmp_path, monkeypatch, capsys):
    way = Fit(tmp_path, monkeypatch, capsys)
    assert way(out) is None
    way.model = lambda: small_vae(hidden=7)
    assert_refused(way, out, "another training", "encoder.1.weight")


@pytest.mark.fault("checkpoint of another architecture", how="{kind}: settings of another size")
@pytest.mark.parametrize("kind", ["vae", "gpt"])
def test_settings_that_do_not_fit_the_weights(kind, out, tmp_path, monkeypatch, capsys):
    way = WAYS[kind](tmp_path, monkeypatch, capsys)
    store = run.write_checkpoint

    def lying(path, *, state, **rest):
        settings = state["settings"] | {"width": 32}
        store(path, state=state | {"settings": settings}, **rest)

    with monkeypatch.context() as patch:
        patch.setattr(run, "write_checkpoint", lying)
        assert way(out) is None
    assert_refused(way, out, "another training")
