"""One's own data and models in use: training, likelihoods, loading, the command line, the machine.

USES is the second half of the table of test_own_data.py: what came, and what happened.
"""

import dataclasses
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from test_own_data import folder_of, images
from vae_course import cli, clinic, data, losses, metrics, models, pretrained, training
from vae_course.training import checkpoints

ROOT = Path(__file__).resolve().parents[1]


@dataclasses.dataclass
class Use:
    kind: str
    came: str
    act: Callable  # tmp_path → in words, what happened
    says: tuple[str, ...] = ()  # in these words, or in the refusal
    refused: bool = False

    def happened(self, tmp):
        """In words; checks what must hold. Raises: AssertionError where it doesn't."""
        if not self.refused:
            return self.act(tmp)
        with pytest.raises((data.DataError, ValueError, TypeError, RuntimeError)) as error:
            self.act(tmp)
        assert not re.search(r"\b(delete|remove) (it|the file)", str(error.value)), error.value
        return str(error.value)


USES: list[Use] = []


def use(kind, came, *says, refused=False):
    return lambda act: USES.append(Use(kind, came, act, says, refused))


def elbo(model, image):
    nll, kl = model.elbo_terms(image)
    return (nll + kl).mean()


def small(shape=(1, 8, 8), **options):
    torch.manual_seed(0)
    return models.VAE.dense(2, hidden=8, image_shape=shape, **options)


def some(count=24, *shape):
    return torch.from_numpy(images(count, *(shape or (1, 8, 8))))


def fitted(model, given, loss=elbo, **options):
    history = training.fit(model, loss, given, epochs=1, batch_size=8, progress=False, **options)
    value = history["train_loss"][-1]
    assert np.isfinite(value)
    return f"trained: loss {value:.4g}"


# ----------------------------------------------------------------------------- training


@use("training", "NaN in training image 7", "images[7] holds NaN", refused=True)
def _(tmp):
    given = some()
    given[7, 0, 0, 0] = torch.nan
    fitted(small(likelihood=losses.Gaussian()), given)


@use("training", "NaN in a training image, under a Bernoulli", "1 NaN", refused=True)
def _(tmp):
    given = some()
    given[7, 0, 0, 0] = torch.nan
    fitted(small(), given)


@use("training", "infinity in test image 3", "test_images", "3", refused=True)
def _(tmp):
    test = some(10)
    test[3, 0, 0, 0] = torch.inf
    fitted(small(likelihood=losses.Gaussian()), some(), test_images=test)


for width in (torch.float16, torch.bfloat16, torch.float64):

    @use("training", f"images in {str(width)[6:]}, a model in float32", "trained")
    def _(tmp, width=width):
        return fitted(small(), some().to(width))


@use("training", "a model in float64, images in float32", "trained")
def _(tmp):
    return fitted(small().double(), some())


@use("training", "bytes (uint8)", "images.float() / 255", refused=True)
def _(tmp):
    fitted(small(), (some() * 255).to(torch.uint8))


@use("training", "whole numbers (int64) from 0 to 255", "float()", "255", refused=True)
def _(tmp):
    fitted(small(), (some() * 255).long())


@use("training", "floats from 0 to 255", "255", refused=True)
def _(tmp):
    fitted(small(), some() * 255)


@use("training", "a loader of (image, label), a loss of (model, image)", "labels too", "trained")
def _(tmp):
    from unittest import mock

    loader = DataLoader(TensorDataset(some(), torch.arange(24) % 3), batch_size=8)
    with mock.patch("vae_course.training.fit.say") as say:
        done = fitted(small(), loader)
    return f"{say.call_args.args[0]} {done}"


@use("training", "a loader of (image, label), a loss of (model, image, label)", "trained")
def _(tmp):
    loader = DataLoader(TensorDataset(some(), torch.arange(24) % 3), batch_size=8)
    model = models.ConditionalVAE.dense(2, classes=3, hidden=8, image_shape=(1, 8, 8))

    def loss(model, image, label):
        nll, kl = model.elbo_terms(image, label)
        return (nll + kl).mean()

    return fitted(model, loader, loss)


@use("training", "a loader of bytes", "float", "255", refused=True)
def _(tmp):
    fitted(small(), DataLoader((some() * 255).to(torch.uint8), batch_size=8))


@use("training", "a NumPy array", "torch.Tensor", refused=True)
def _(tmp):
    fitted(small(), images(24))


# ----------------------------------------------------------------------------- shapes


@use("shapes", "12 × 12 pixels for a model of 8 × 8", "(B, 1, 8, 8)", "12", refused=True)
def _(tmp):
    fitted(small(), some(24, 1, 12, 12))


@use("shapes", "channels last for a model", "(B, 3, 8, 8)", "channels come last", refused=True)
def _(tmp):
    fitted(small((3, 8, 8)), some(24, 8, 8, 3))


for shape in ((1, 9, 31), (2, 17, 23), (3, 64, 48), (4, 8, 8)):

    @use("shapes", f"a convolutional VAE of {' × '.join(map(str, shape))}", "trained", str(shape))
    def _(tmp, shape=shape):
        model = models.VAE.conv(3, channels=4, image_shape=shape)
        done = fitted(model, some(16, *shape))
        return f"{done}; samples {tuple(model.sample(2).shape[1:])}"


@use("shapes", "a convolutional VAE of 6 × 6 pixels", "8 × 8", "dense", refused=True)
def _(tmp):
    models.VAE.conv(3, image_shape=(1, 6, 6))


# ----------------------------------------------------------------------------- likelihoods


for spec in ("bernoulli", "gaussian:0.1", "gaussian:learned", "gaussian:learned:1x8x8",
             "gaussian:predicted", "logistic"):  # fmt: skip

    @use("likelihoods", f"bytes / 255 under {spec}", "trained", "bound")
    def _(tmp, spec=spec):
        model = small(likelihood=losses.likelihood_of(spec))
        done = fitted(model, (some() * 255).round() / 255)
        drawn = model.sample(50, noise=True)
        if not spec.startswith("gaussian"):
            assert drawn.min() >= 0 and drawn.max() <= 1
        levels = (some(4) * 255).round() / 255
        bound = metrics.importance_bound(model, levels, samples=3).mean()
        return f"{done}; draws from {drawn.min():.2g} to {drawn.max():.2g}, bound {bound:.4g}"


@use("likelihoods", "floats that are no levels, under a logistic of 256 levels", "levels",
     refused=True)  # fmt: skip
def _(tmp):
    fitted(small(likelihood=losses.DiscretizedLogistic()), some())


@use("likelihoods", "category 3 of 0, 1, 2", refused=True)
def _(tmp):
    model = models.VAE.table(2, ["categorical:3", "gaussian:learned"], hidden=8)
    rows = torch.randn(24, 2)
    rows[:, 0] = torch.arange(24) % 4
    fitted(model, rows)


@use("likelihoods", "counts, categories and numbers in one row", "trained", "restored")
def _(tmp):
    rows = [{"n": i % 5, "c": "ab"[i % 2], "x": 0.1 * i} for i in range(60)]
    import pandas as pd

    made = data.load_table(pd.DataFrame(rows), counts=["n"])
    model = models.VAE.table(2, made.columns, hidden=8)
    done = fitted(model, made.train_rows)
    back = made.restore(model.sample(20, noise=True))
    assert set(back["c"]) <= {"a", "b"} and (back["n"] >= 0).all()
    return f"{done}; samples restored with columns {', '.join(back.columns)}"


# ----------------------------------------------------------------------------- precision, wrappers


@use("precision", "bounds under bfloat16 autocast, a model that ships", "standard error")
def _(tmp):
    model, _ = pretrained.load_vae("vae-conv")
    digits = data.load_images("mnist-5k").test_images[:64]
    exact = metrics.importance_bound(model, digits, samples=40)
    with torch.autocast("cpu", torch.bfloat16):
        half = metrics.importance_bound(model, digits, samples=40)
    off = abs(float((half - exact).mean()))
    _, error = metrics.mean_with_error(exact)
    assert half.dtype == torch.float32 and off < error
    return f"off by {off:.3f} nats, the standard error of the mean is {error:.2f}"


@use("precision", "a model in bfloat16 altogether", "nats")
def _(tmp):
    model = small().bfloat16()
    nll, kl = model.elbo_terms(some())
    assert nll.dtype == kl.dtype == torch.float32
    return f"sums in float32: {(nll + kl).mean().item():.4g} nats"


for wrap in (torch.compile, nn.DataParallel):

    @use("precision", f"a model wrapped by {wrap.__name__}", "the same")
    def _(tmp, wrap=wrap):
        model = small()
        plain = metrics.elbo(model, some()).total
        assert torch.equal(metrics.elbo(wrap(model), some()).total, plain)
        return "bounds are the same to the last bit"


# ----------------------------------------------------------------------------- one's own weights


class Own(nn.Module):
    def __init__(self, hidden=5):
        super().__init__()
        self.encoder, self.decoder = nn.Linear(64, hidden), nn.Linear(hidden, 64)


for wrap in ("", "module.", "_orig_mod."):

    @use("weights", f"a state_dict of one's own, names {wrap or 'plain '}…", "loaded")
    def _(tmp, wrap=wrap):
        first = Own()
        save_file({wrap + k: v for k, v in first.state_dict().items()}, tmp / "own.safetensors")
        again, _ = pretrained.load(tmp / "own.safetensors", Own())
        assert all(torch.equal(a, b) for a, b in zip(first.parameters(), again.parameters(),
                                                     strict=True))  # fmt: skip
        return f"loaded, {len(list(again.parameters()))} tensors alike"


@use("weights", "a state_dict of one's own, no model given", "model=", refused=True)
def _(tmp):
    save_file(Own().state_dict(), tmp / "own.safetensors")
    pretrained.load(tmp / "own.safetensors")


@use("weights", "a state_dict of another size", "size mismatch", refused=True)
def _(tmp):
    save_file(Own(7).state_dict(), tmp / "own.safetensors")
    pretrained.load(tmp / "own.safetensors", Own())


@use("weights", "a pickle (.pt)", "weights_only=True", refused=True)
def _(tmp):
    torch.save(Own().state_dict(), tmp / "own.pt")
    pretrained.load(tmp / "own.pt", Own())


@use("weights", "a file cut short", "damaged", refused=True)
def _(tmp):
    save_file(Own().state_dict(), tmp / "own.safetensors")
    path = tmp / "own.safetensors"
    path.write_bytes(path.read_bytes()[:200])
    pretrained.load(path, Own())


@use("weights", "a checkpoint of fit, without its optimizer", "weights")
def _(tmp):
    model, again = small(), small()
    fitted(model, some(), checkpoint=tmp / "run.safetensors")
    checkpoints.read_checkpoint(tmp / "run.safetensors").restore(model=again)
    assert all(map(torch.equal, model.parameters(), again.parameters()))
    return "its weights are restored"


# ----------------------------------------------------------------------------- the command line


def command(tmp, *words, code=0):
    """What a command prints; refusals as ValueError, in one line."""
    import contextlib
    import io

    said, errors = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(errors):
        try:
            found = cli.main([str(word) for word in words])
        except SystemExit as leaving:
            found = leaving.code
    if found:
        lines = [line for line in errors.getvalue().splitlines() if line.startswith("vae-course")]
        assert len(lines) == 1, errors.getvalue()
        raise ValueError(lines[0])
    return said.getvalue()


QUICK = ("--epochs", 1, "--width", 4, "--latent-dim", 2, "--batch-size", 4,
         "--importance-samples", 2, "--device", "cpu")  # fmt: skip


def trained(tmp, path, *words, model="conv-vae"):
    pytest.importorskip("accelerate")
    out = tmp / "out"
    command(tmp, "train", "--model", model, "--data", path, "--out", out, *QUICK, *words)
    files = sorted(file.name for file in out.iterdir())
    assert {"report.html", "model.safetensors", "model.json"} <= set(files)
    return f"{', '.join(files)}"


@use("command line", "a folder of twelve pictures (one of them for the test)", "report.html")
def _(tmp):
    return trained(tmp, folder_of(tmp / "in", 12))


@use("command line", "class folders in Arabic and Chinese script", "samples.png")
def _(tmp):
    for row, name in enumerate(("قطة", "小猫")):
        folder_of(tmp / "in" / name, 10, seed=row)
    return trained(tmp, tmp / "in", model="conditional-vae")


@use("command line", "grey and colour mixed", "channels=3", "--loading", refused=True)
def _(tmp):
    folder_of(tmp / "in" / "b", 5, mode="L", seed=1)
    folder_of(tmp / "in" / "a")
    trained(tmp, tmp / "in")


@use("command line", "grey and colour mixed, --loading 'channels=3'", "samples.png")
def _(tmp):
    folder_of(tmp / "in" / "b", 5, mode="L", seed=1)
    folder_of(tmp / "in" / "a")
    done = trained(tmp, tmp / "in", "--loading", "channels=3, labels=False")
    for name in ("reconstruct", "examine", "generate"):
        command(tmp, name, tmp / "out")
    return done


@use("command line", "--loading with an argument that is none", "no argument", refused=True)
def _(tmp):
    trained(tmp, folder_of(tmp / "in"), "--loading", "chanels=3")


@use("command line", "--loading that is no list of arguments", "channels=3", refused=True)
def _(tmp):
    trained(tmp, folder_of(tmp / "in"), "--loading", "grey please")


@use("command line", "a table with semicolons and decimal commas", "samples.csv")
def _(tmp):
    rows = "".join(f"{i / 7:.3f};{i * i / 9:.2f};{'ja' if i % 3 else 'nein'}\n" for i in range(40))
    (tmp / "t.csv").write_text("länge;breite;gut\n" + rows.replace(".", ","), encoding="utf-8")
    return trained(tmp, tmp / "t.csv", model="table-vae")


@use("command line", "a table for a convolutional VAE", "table-vae is for tables", refused=True)
def _(tmp):
    (tmp / "t.csv").write_text("a,b\n" + "".join(f"{i},{i * 0.37}\n" for i in range(40)))
    trained(tmp, tmp / "t.csv")


@use("command line", "pictures for the 784-200-200-50 of the paper", refused=True)
def _(tmp):
    pytest.importorskip("accelerate")
    command(tmp, "train", "--model", "paper-vae", "--data", folder_of(tmp / "in"), "--out",
            tmp / "out", "--epochs", 1, "--batch-size", 4, "--device", "cpu")  # fmt: skip


@use("command line", "pictures for the VAE of two levels", refused=True)
def _(tmp):
    trained(tmp, folder_of(tmp / "in"), model="two-level-vae")


@use("command line", "a folder that is not there", "no such folder", refused=True)
def _(tmp):
    trained(tmp, tmp / "nowhere")


@use("command line", "one picture in place of a folder", "load_folder", refused=True)
def _(tmp):
    folder = folder_of(tmp / "in")
    trained(tmp, folder / "3.png")


@use("command line", "an archive of pictures", "unpack", refused=True)
def _(tmp):
    import shutil

    trained(tmp, shutil.make_archive(str(tmp / "pictures"), "zip", folder_of(tmp / "in")))


@use("command line", "--device mps where there is none", "mps", refused=True)
def _(tmp):
    if torch.backends.mps.is_available():
        pytest.skip("there is one")
    pytest.importorskip("accelerate")
    command(tmp, "train", "--model", "conv-vae", "--data", folder_of(tmp / "in"), "--out",
            tmp / "out", *QUICK[:-1], "mps")  # fmt: skip


@use("command line", "fewer pictures than a batch", "batch", refused=True)
def _(tmp):
    trained(tmp, folder_of(tmp / "in", 6), "--batch-size", 32)


@use("command line", "pictures too small for convolutions", "dense", refused=True)
def _(tmp):
    trained(tmp, folder_of(tmp / "in", 20, size=(6, 6)))


# ----------------------------------------------------------------------------- the clinic


@use("clinic", "images as a NumPy array", "torch.Tensor", refused=True)
def _(tmp):
    clinic.examine(small(), images(24))


@use("clinic", "bytes given to the examination", "pixels-255")
def _(tmp):
    return repr(clinic.examine(small(), (some(40) * 255).to(torch.uint8)).names)


@use("clinic", "images of another size than the model's", refused=True)
def _(tmp):
    clinic.examine(small(), some(40, 1, 12, 12))


@use("clinic", "a loss that fails", "not looked at")
def _(tmp):
    return str(clinic.examine(small(), some(40), loss=lambda model, image: 1 / 0))[-200:]


# ----------------------------------------------------------------------------- the machine


def python(tmp, code, **environment):
    kept = {k: v for k, v in os.environ.items() if k not in ("HOME", "XDG_CACHE_HOME")}
    kept |= {"PYTHONPATH": str(ROOT), "HOME": str(tmp)} | environment
    kept = {k: v for k, v in kept.items() if v}
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp, env=kept, capture_output=True)
    assert done.returncode == 0, done.stderr.decode(errors="replace")
    return done.stdout.decode(errors="replace").strip()


@use("machine", "a user without a home folder", "ImageData")
def _(tmp):
    code = (
        "import pwd\ndef nobody(*_): raise KeyError\npwd.getpwuid = nobody\n"
        "from vae_course import data\nprint(data.load_images())"
    )
    said = python(tmp, code, HOME="", VAE_COURSE_DATA="")
    assert not any(tmp.iterdir()), "nothing is cached"
    return said.splitlines()[0]


@use("machine", "a console of code page cp437, a set with notes", "near-duplicates")
def _(tmp):
    folder_of(tmp / "in" / "Собака", 10)
    folder_of(tmp / "in" / "猫", 10)
    code = f"from vae_course import data\nprint(data.load_folder({str(tmp / 'in')!r}))"
    return python(tmp, code, PYTHONIOENCODING="cp437:replace", PYTHONUTF8="0")


@pytest.mark.parametrize("tried", USES, ids=lambda tried: f"{tried.kind}: {tried.came}")
def test_ones_own_in_use(tried, tmp_path):
    said = tried.happened(tmp_path)
    if tried.refused:
        assert len(said) < 600, said
    for words in tried.says:
        assert words in said, said


def test_the_table_of_situations_is_long():
    assert len(USES) >= 50
