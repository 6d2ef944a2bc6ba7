"""Checkpoints: whole or not there, checked to the last bit, and a killed run ends the same."""

import itertools
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from torch.utils.data import DataLoader, RandomSampler, TensorDataset

from fault_tools import FIT, wait_for
from torch_tools import assert_same_checkpoint, elbo_loss, seeded, small_vae, weights
from vae_course import losses
from vae_course.training import checkpoints, fit
from vae_course.training.checkpoints import CheckpointError, read_checkpoint, write_checkpoint


@pytest.fixture(scope="module")
def images():
    return torch.rand(40, 1, 28, 28, generator=seeded(1))


def train(model, images, path=None, **options):
    options = {"epochs": 4, "batch_size": 16, "progress": False, **options}
    return fit(model, elbo_loss, images, checkpoint=path, **options)


# ------------------------------------------------------------------------- going on


@pytest.mark.parametrize("stopped_after", [1, 2, 3])
def test_a_resumed_training_equals_an_uninterrupted_one_to_the_last_bit(
    images, tmp_path, stopped_after
):
    whole = small_vae()
    history = train(whole, images, test_images=images[:8])
    path = tmp_path / "run.safetensors"
    train(small_vae(), images, path, epochs=stopped_after, test_images=images[:8])
    torch.rand(3)  # what happens outside in between does not matter
    resumed = small_vae()
    again = train(resumed, images, path, test_images=images[:8])
    assert torch.equal(weights(whole), weights(resumed))
    assert again.rows == history.rows


def test_a_training_that_is_complete_is_not_trained_again(images, tmp_path):
    path = tmp_path / "run.safetensors"
    first, second = small_vae(), small_vae(hidden=6)
    train(first, images, path)
    before = path.read_bytes()
    history = train(second, images, path)
    assert torch.equal(weights(first), weights(second)) and len(history) == 4
    assert path.read_bytes() == before


def test_without_checkpoint_the_result_is_the_same(images, tmp_path):
    plain, kept = small_vae(), small_vae()
    train(plain, images)
    train(kept, images, tmp_path / "run.safetensors")
    assert torch.equal(weights(plain), weights(kept))


def test_an_interrupted_epoch_is_trained_again_as_it_would_have_been(images, tmp_path):
    whole, calls = small_vae(), itertools.count()
    train(whole, images)

    def stops_in_epoch_three(model, image):
        if next(calls) == 7:  # three steps an epoch
            raise KeyboardInterrupt
        return elbo_loss(model, image)

    path = tmp_path / "run.safetensors"
    options = {"epochs": 4, "batch_size": 16, "progress": False, "checkpoint": path}
    with pytest.raises(KeyboardInterrupt):
        fit(small_vae(), stops_in_epoch_three, images, **options)
    resumed = small_vae()
    train(resumed, images, path)
    assert torch.equal(weights(whole), weights(resumed))


@pytest.mark.parametrize("make", [
    lambda p: torch.optim.SGD(p, lr=0.01, momentum=0.9, nesterov=True),
    lambda p: torch.optim.AdamW(p, lr=1e-3, amsgrad=True),
    lambda p: torch.optim.RMSprop(p, lr=1e-3),
])  # fmt: skip
def test_other_optimizers_go_on_too(images, tmp_path, make):
    whole, resumed, path = small_vae(), small_vae(), tmp_path / "run.safetensors"
    train(whole, images, optimizer=make(whole.parameters()))
    half = small_vae()
    train(half, images, path, epochs=2, optimizer=make(half.parameters()))
    train(resumed, images, path, optimizer=make(resumed.parameters()))
    assert torch.equal(weights(whole), weights(resumed))


def test_tied_weights_and_buffers_are_stored(tmp_path):
    def tied():
        first, second = nn.Linear(3, 3), nn.Linear(3, 3)
        second.weight = first.weight
        return nn.Sequential(first, nn.BatchNorm1d(3), second)

    model, other, path = tied(), tied(), tmp_path / "tied.safetensors"
    model(torch.rand(5, 3))  # moves the running averages
    write_checkpoint(path, model=model, state={})
    read_checkpoint(path).restore(model=other)  # without an optimizer: weights only
    for name, value in model.state_dict().items():
        assert torch.equal(value, other.state_dict()[name]), name


# ------------------------------------------------- what decides the result beside the weights


def make_scheduler(kind, optimizer):
    schedulers = torch.optim.lr_scheduler
    return {
        "cosine": lambda: schedulers.CosineAnnealingLR(optimizer, T_max=12),
        "steps": lambda: schedulers.MultiStepLR(optimizer, [2, 5, 9]),
        "one cycle": lambda: schedulers.OneCycleLR(optimizer, max_lr=0.01, total_steps=12),
        "warm-up": lambda: schedulers.SequentialLR(
            optimizer,
            [schedulers.LinearLR(optimizer, 0.1, total_iters=4),
             schedulers.ExponentialLR(optimizer, 0.9)],
            milestones=[4],
        ),
    }[kind]()  # fmt: skip


@pytest.mark.parametrize("kind", ["cosine", "steps", "one cycle", "warm-up"])
def test_a_scheduler_goes_on_too(images, tmp_path, kind):
    def part(epochs, path):
        model = small_vae()
        optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
        train(model, images, path, epochs=epochs, optimizer=optimizer, clip=5.0,
              scheduler=make_scheduler(kind, optimizer))  # fmt: skip
        return weights(model)

    path = tmp_path / "run.safetensors"
    part(2, path)
    assert torch.equal(part(4, path), part(4, None))


def test_another_scheduler_is_refused(images, tmp_path):
    path, model = tmp_path / "run.safetensors", small_vae()
    for milestone, words in ((4, None), (5, "scheduler")):
        optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
        scheduler = torch.optim.lr_scheduler.MultiStepLR(optimizer, [milestone])
        options = {"optimizer": optimizer, "scheduler": scheduler}
        if words is None:
            train(model, images, path, epochs=1, **options)
        else:
            assert words in refused(images, path, **options, model=model)


def jittered(generator):
    r"""A loss whose augmentation has random numbers of its own."""

    def loss(model, image):
        if isinstance(generator, torch.Generator):
            shift = torch.rand((), generator=generator).item()
        else:
            shift = generator.random()
        return elbo_loss(model, (image + 0.1 * shift).clamp(0, 1))

    return loss


OWN = {
    "torch": lambda: jittered(seeded(3)),
    "numpy": lambda: jittered(np.random.default_rng(3)),
    "numpy, of old": lambda: jittered(np.random.RandomState(3)),
    "python": lambda: jittered(random.Random(3)),
    "numpy, for all": lambda: jittered(np.random),
    "python, for all": lambda: jittered(random),
}


@pytest.mark.parametrize("make", OWN.values(), ids=OWN)
def test_random_numbers_of_an_augmentation_go_on(images, tmp_path, make):
    def part(epochs, path):
        model = small_vae()
        options = {"epochs": epochs, "batch_size": 16, "progress": False, "checkpoint": path}
        fit(model, make(), images, **options)
        return weights(model)

    path = tmp_path / "run.safetensors"
    part(2, path)
    assert torch.equal(part(4, path), part(4, None))


@pytest.mark.parametrize("place", ["loader", "sampler", "data set"])
def test_a_loader_with_a_generator_of_its_own_goes_on(images, tmp_path, place):
    class Noisy(TensorDataset):
        noise = None

        def __getitem__(self, index):
            image = super().__getitem__(index)[0]
            return image if self.noise is None else image * torch.rand((), generator=self.noise)

    def part(epochs, path):
        dataset, own = Noisy(images), seeded(5)
        if place == "data set":
            dataset.noise = own
            loader = DataLoader(dataset, batch_size=16, shuffle=True)
        elif place == "sampler":
            sampler = RandomSampler(dataset, generator=own)
            loader = DataLoader(dataset, batch_size=16, sampler=sampler)
        else:
            loader = DataLoader(dataset, batch_size=16, shuffle=True, generator=own)
        model = small_vae()
        train(model, loader, path, epochs=epochs)
        return weights(model)

    path = tmp_path / "run.safetensors"
    part(2, path)
    assert torch.equal(part(4, path), part(4, None))


class WarmUp:
    r"""β rises with each call of the loss; the count is nowhere but here."""

    def __init__(self):
        self.step = 0

    def __call__(self, model, image):
        self.step += model.training
        logits, mean, log_var = model(image)
        return losses.negative_elbo(logits, image, mean, log_var, beta=min(1, self.step / 10))


def counting_closure():
    step = 0

    def loss(model, image):
        nonlocal step
        step += 1
        return elbo_loss(model, image) * min(1, step / 10)

    return loss


def rate_by_hand(model):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)

    def loss(model, image):
        optimizer.param_groups[0]["lr"] *= 0.9
        return elbo_loss(model, image)

    return {"loss": loss, "optimizer": optimizer}


def unknown_scheduler(model):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.5)
    return {"optimizer": optimizer, "after_epoch": lambda *_: scheduler.step()}


def counting_model(model):
    model.calls = 0

    def loss(model, image):
        model.calls += 1
        return elbo_loss(model, image)

    return {"loss": loss}


OUTSIDE = {
    "an object": (lambda model: {"loss": WarmUp()}, "loss.step changed from 0 to 3"),
    "a closure": (lambda model: {"loss": counting_closure()}, "loss: step changed from 0 to 3"),
    "the model": (counting_model, "model.calls changed from 0 to 3"),
    "rate by hand": (rate_by_hand, "settings were changed by hand"),
    "scheduler": (unknown_scheduler, "pass it as scheduler=…"),
}


@pytest.mark.parametrize("make, words", OUTSIDE.values(), ids=OUTSIDE)
def test_what_can_not_be_stored_is_said_at_once_and_not_resumed_from(
    images, tmp_path, make, words
):
    path = tmp_path / "run.safetensors"

    def start(model, epochs):
        options = {"loss": elbo_loss, **make(model)}
        options |= {"batch_size": 16, "progress": False, "checkpoint": path}
        return fit(model, options.pop("loss"), images, epochs=epochs, **options)

    with pytest.warns(RuntimeWarning, match="will not be resumed from") as warned:
        start(small_vae(), 2)
    assert len(warned) == 1 and words in str(warned[0].message)
    with pytest.raises(CheckpointError) as caught:
        start(small_vae(), 4)
    assert words in str(caught.value) and "read_checkpoint(path).restore" in str(caught.value)
    other = small_vae(hidden=6)
    read_checkpoint(path).restore(model=other)  # the weights alone


def test_generators_in_workers_are_out_of_reach(images, tmp_path):
    dataset = TensorDataset(images)
    dataset.noise = seeded(5)
    loader = DataLoader(dataset, batch_size=20, num_workers=1)
    with pytest.warns(RuntimeWarning, match="copied into the DataLoader's workers"):
        train(small_vae(), loader, tmp_path / "run.safetensors", epochs=1)


def test_no_message_advises_to_delete_the_only_copy():
    for file in Path(checkpoints.__file__).parent.glob("*.py"):
        said = file.read_text("utf-8").lower()
        assert said.count("delete") == said.count("delete the unfinished files"), file


# ------------------------------------------------------------------------- refused


@pytest.fixture
def stored(images, tmp_path):
    path = tmp_path / "run.safetensors"
    train(small_vae(), images, path, epochs=2)
    return path


def refused(images, path, model=None, **options):
    r"""The sentence with which a resume is refused; nothing may have changed by then."""
    model = model or small_vae()
    before = weights(model)
    with pytest.raises(CheckpointError) as caught:
        train(model, images, path, **options)
    assert torch.equal(weights(model), before)
    assert str(path) in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("position", [0, 9, -1])
def test_a_flipped_bit_at_either_end_is_noticed(stored, position):
    content = bytearray(stored.read_bytes())
    content[position] ^= 1
    stored.write_bytes(content)
    with pytest.raises(CheckpointError):
        read_checkpoint(stored)


def test_tensors_of_somebody_else_are_refused(images, tmp_path):
    path = tmp_path / "run.safetensors"
    save_file({"weight": torch.zeros(3)}, path)
    assert "no checkpoint of this course" in refused(images, path)


def test_another_format_number_is_refused(images, stored):
    tensors = load_file(stored)
    save_file(tensors, stored, {"format": "vae-course checkpoint 2", "state": "{}"})
    assert "vae-course checkpoint 2" in refused(images, stored)


def test_another_optimizer_is_refused(images, stored):
    model = small_vae()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    assert "SGD" in refused(images, stored, model, optimizer=optimizer)


@pytest.mark.parametrize("options, word", [
    ({"seed": 1}, "seed 0, this one has 1"),
    ({"batch_size": 8}, "batch_size 16"),
    ({"learning_rate": 0.1}, "optimizer"),
    ({"clip": 0.1}, "clip"),
    ({"epochs": 1}, "holds 2 epochs already"),
])  # fmt: skip
def test_other_settings_are_refused(images, stored, options, word):
    assert word in refused(images, stored, **options)


def test_other_images_are_refused(images, stored):
    changed = images.clone()
    changed[3, 0, 5, 5] = 0.123
    assert "data" in refused(changed, stored)


def test_a_missing_folder_is_said_before_the_training(images, tmp_path):
    with pytest.raises(FileNotFoundError, match="no folder"):
        train(small_vae(), images, tmp_path / "nowhere" / "run.safetensors")


def test_a_full_disk_leaves_the_earlier_checkpoint(images, stored, monkeypatch):
    before = stored.read_bytes()

    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(OSError, match="No space left"):
        train(small_vae(), images, stored)
    monkeypatch.undo()
    assert stored.read_bytes() == before
    assert [path.name for path in stored.parent.iterdir()] == [stored.name]


def test_the_header_is_plain_json(stored):
    header = read_checkpoint(stored).state
    assert json.loads(json.dumps(header)) == header
    assert [row["epoch"] for row in header["rows"]] == [1, 2]


# ------------------------------------------------------------------------- killed


@pytest.mark.skipif(os.name != "posix", reason="kill -9 is a POSIX way to die")
@pytest.mark.processes
def test_a_run_killed_again_and_again_ends_with_the_same_weights(tmp_path):
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    path, seen = killed / "checkpoint.safetensors", []

    def start(folder):
        folder.mkdir(exist_ok=True)
        command = [sys.executable, "-c", FIT, str(folder), "60"]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert process.stdout.readline() == "ready\n"
        return process

    for kill in range(2):
        with start(killed) as process:
            if kill:  # the first one may fall before any checkpoint
                wait_for(process, path)
            time.sleep(random.uniform(0, 0.05))
            process.kill()
        assert process.returncode == -signal.SIGKILL, "it was done before the signal came"
        if path.exists():
            seen.append(len(read_checkpoint(path).state["rows"]))  # never half a file
    assert seen and seen == sorted(seen)
    for folder in (killed, whole):
        with start(folder) as process:
            pass
        assert process.returncode == 0
        assert [file.name for file in folder.iterdir()] == [path.name]
    assert_same_checkpoint(path, whole / path.name)
