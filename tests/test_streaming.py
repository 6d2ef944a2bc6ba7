"""Images read from disk while a model trains: the same training, another place."""

import os
import pickle
import subprocess
import sys
import textwrap

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, IterableDataset, TensorDataset

from torch_tools import elbo_loss, small_vae, weights
from vae_course import losses, models, training
from vae_course.data import streaming
from vae_course.data.streaming import ImageFile, PoolSampler, image_batches
from vae_course.training import evaluate, fit


@pytest.fixture
def pixels():
    """Bytes, (50, 28, 28)."""
    return np.random.default_rng(0).integers(0, 256, (50, 28, 28), dtype=np.uint8)


@pytest.fixture
def images(pixels):
    return torch.from_numpy(pixels).float().div(255).unsqueeze(1)


@pytest.fixture
def path(pixels, tmp_path):
    np.save(tmp_path / "images.npy", pixels)
    return tmp_path / "images.npy"


def trained(images, **options):
    model = small_vae()
    fit(model, elbo_loss, images, **{"epochs": 2, "progress": False, **options})
    return weights(model)


class TestImageFile:
    def test_is_what_memory_holds(self, path, images):
        file = ImageFile(path)
        assert len(file) == 50
        assert torch.equal(file[3], images[3])
        assert torch.equal(file[[4, 1, 4]], images[[4, 1, 4]])

    def test_floats_with_channels_and_labels(self, tmp_path):
        stored = torch.rand(6, 3, 4, 5)
        np.save(tmp_path / "f.npy", stored.numpy())
        labels = torch.arange(6)
        image, label = ImageFile(tmp_path / "f.npy", labels=labels)[[5, 0]]
        assert torch.equal(image, stored[[5, 0]])
        assert label.tolist() == [5, 0]

    def test_a_worker_gets_the_path_not_the_pixels(self, path):
        assert len(pickle.dumps(ImageFile(path))) < 1000

    def test_reading_does_not_write(self, path, images):
        ImageFile(path)[[0]].zero_()
        assert torch.equal(ImageFile(path)[0], images[0])

    @pytest.mark.parametrize(
        ("array", "words"),
        [
            (np.zeros((4, 28), np.uint8), r"uint8 of shape \(4, 28\); expected"),
            (np.zeros((4, 28, 28)), "float64 of shape"),
            (np.zeros((0, 28, 28), np.uint8), "expected"),
            (np.array([None]), "no .npy file of images"),
        ],
        ids=["flat", "doubles", "empty", "objects"],
    )
    def test_another_file_is_refused(self, array, words, tmp_path):
        np.save(tmp_path / "other.npy", array, allow_pickle=True)
        with pytest.raises(ValueError, match=words):
            ImageFile(tmp_path / "other.npy")

    def test_other_lengths_and_no_file(self, path):
        with pytest.raises(ValueError, match="50 images, but there are 3 labels"):
            ImageFile(path, labels=torch.zeros(3))
        with pytest.raises(FileNotFoundError):
            ImageFile(path.with_name("nothing.npy"))


class TestOrder:
    @pytest.mark.parametrize(("rows", "block", "pool"), [(1000, 10, 5), (7, 3, 1), (5, 64, 64)])
    def test_every_row_once(self, rows, block, pool):
        sampler = PoolSampler(rows, block=block, pool=pool)
        assert sorted(sampler) == list(range(rows)) and len(sampler) == rows

    def test_another_order_each_epoch_the_same_for_the_same_seed(self):
        sampler = PoolSampler(1000, block=10, pool=5)
        orders = []
        for seed in (1, 1):
            torch.manual_seed(seed)
            orders.append([list(sampler), list(sampler)])
        assert orders[0] == orders[1]
        assert orders[0][0] != orders[0][1]

    def test_a_pool_reads_a_few_blocks_and_mixes_them(self):
        first = list(PoolSampler(10_000, block=10, pool=5))[:50]
        assert len({row // 10 for row in first}) == 5
        assert len({row // 10 for row in first[:10]}) > 1

    def test_in_order(self, path, images):
        seen = torch.cat(list(image_batches(path, batch_size=16, shuffle=False)))
        assert torch.equal(seen, images)

    @pytest.mark.parametrize("options", [{"rows": 0}, {"rows": 5, "block": 0}])
    def test_nothing_to_order(self, options):
        with pytest.raises(ValueError, match="expected 1 or more"):
            PoolSampler(**options)


class TestFit:
    def test_the_same_weights_as_from_memory_in_the_same_order(self, path, images):
        """Both draw one number an epoch and no order, so the noise of the latents agrees too."""
        in_memory = DataLoader(TensorDataset(images), batch_size=16)
        on_disk = image_batches(path, batch_size=16, shuffle=False)
        assert torch.equal(trained(on_disk), trained(in_memory))

    def test_repeats_and_depends_on_the_seed(self, path):
        loader = image_batches(path, batch_size=16)
        assert torch.equal(trained(loader), trained(loader))
        assert not torch.equal(trained(loader), trained(loader, seed=1))

    def test_a_worker_reads_the_same(self, path):
        own, ahead = (image_batches(path, batch_size=16, workers=n) for n in (0, 1))
        assert torch.equal(trained(own), trained(ahead))

    def test_evaluate_equals_memory(self, path, images):
        def loss(model, image):
            return losses.bernoulli_nll(model(image), image).mean()

        torch.manual_seed(0)
        model = models.DenseAutoencoder(2, hidden=8)
        on_disk = evaluate(model, loss, image_batches(path, batch_size=16))
        assert on_disk["loss"] == pytest.approx(evaluate(model, loss, images)["loss"], rel=1e-5)

    def test_labels_come_along(self, path, images):
        labels = torch.arange(50)
        seen = []

        def loss(model, image, label):
            assert torch.equal(image, images[label])
            seen.extend(label.tolist())
            return elbo_loss(model, image)

        loader = image_batches(path, batch_size=16, labels=labels)
        fit(small_vae(), loss, loader, epochs=1, test_images=loader, progress=False)
        assert sorted(seen) == sorted([*range(50)] * 2)

    def test_labels_that_the_loss_does_not_take_are_left_out_with_a_word(self, path, capsys):
        with_labels = image_batches(path, batch_size=16, labels=torch.arange(50))
        first = trained(with_labels)
        assert torch.equal(first, trained(image_batches(path, batch_size=16)))
        assert capsys.readouterr().out.count("labels too; they are left out") == 1

    def test_words_as_labels_are_named(self):
        loader = DataLoader([(torch.rand(4), "a cat")])
        with pytest.raises(TypeError, match="labels is a tuple"):
            fit(small_vae(), lambda model, image, label: None, loader, epochs=1, progress=False)

    def test_goes_on_to_the_last_bit(self, path, tmp_path):
        loader, kept = image_batches(path, batch_size=16), tmp_path / "kept.safetensors"
        trained(loader, epochs=1, checkpoint=kept)
        assert torch.equal(trained(loader, epochs=3, checkpoint=kept), trained(loader, epochs=3))

    def test_a_checkpoint_of_another_length_is_refused(self, path, tmp_path, pixels):
        kept = tmp_path / "kept.safetensors"
        trained(image_batches(path), epochs=1, checkpoint=kept)
        np.save(tmp_path / "fewer.npy", pixels[:40])
        with pytest.raises(ValueError, match="belongs to a training with data"):
            trained(image_batches(tmp_path / "fewer.npy"), checkpoint=kept)

    def test_a_nan_names_the_pixels_of_its_batch(self, tmp_path):
        np.save(tmp_path / "f.npy", np.full((4, 28, 28), 7, np.float32))
        with pytest.raises(training.TrainingDiverged, match="they run from 7 to 7"):
            fit(
                small_vae(), lambda model, image: model(image)[0].mean() * float("nan"),
                image_batches(tmp_path / "f.npy"), epochs=1, progress=False,
            )  # fmt: skip


class Endless(IterableDataset):
    def __iter__(self):
        while True:
            yield torch.rand(1, 28, 28)


class TestLoadersThatCanNotBeTrainedWith:
    @pytest.mark.parametrize(
        ("loader", "options", "kind", "words"),
        [
            (DataLoader(Endless()), {}, TypeError, "IterableDataset, whose length"),
            (DataLoader([], sampler=[]), {}, ValueError, "no batch"),
            (DataLoader(torch.rand(4, 1)), {"labels": torch.ones(4)}, ValueError, "beside a Data"),
            (DataLoader(torch.ones(4, 1).byte()), {}, ValueError, "images are bytes"),
            (DataLoader([{"image": torch.rand(4)}]), {}, TypeError, "images is a dict"),
        ],
        ids=["endless", "empty", "labels twice", "bytes", "dict"],
    )
    def test_is_named(self, loader, options, kind, words):
        with pytest.raises(kind, match=words):
            fit(small_vae(), elbo_loss, loader, epochs=1, progress=False, **options)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs RLIMIT_DATA")
@pytest.mark.processes
def test_trains_where_the_floats_do_not_fit(tmp_path):
    """100,000 images: 314 MB as floats, allowed 250 MB more than the start; a file of 78 MB."""
    path = tmp_path / "many.npy"
    np.lib.format.open_memmap(path, "w+", np.uint8, (100_000, 28, 28)).flush()  # a file of holes
    script = f"""
        import resource
        import numpy as np, torch
        from vae_course import training
        from vae_course.data import streaming
        from torch_tools import elbo_loss, small_vae

        torch.set_num_threads(1)
        with open("/proc/self/status") as status:
            own = [line.split()[1] for line in status if line.startswith("VmData")][0]
        limit = int(own) * 1024 + 250 * 2**20
        resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
        try:
            torch.from_numpy(np.load({str(path)!r})).float().div_(255)
        except (MemoryError, RuntimeError) as error:
            print("refused")
        loader = streaming.image_batches({str(path)!r}, batch_size=2000)
        training.fit(small_vae(), elbo_loss, loader, epochs=1, progress=False)
        print("trained")
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True,
        env=os.environ | {"PYTHONPATH": os.path.dirname(__file__), "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.stdout.split() == ["refused", "trained"], done.stderr


def test_every_name_that_it_offers_exists():
    assert set(streaming.__all__) <= set(dir(streaming))
