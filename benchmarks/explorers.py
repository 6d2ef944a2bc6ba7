"""What a move costs: from a slider's new value to the new picture, without a browser.

    python -m benchmarks.explorers [--moves 100]

Prints the median and the 95th percentile of each explorer in milliseconds. More than 50 ms and a
picture lags behind the hand.
"""

import argparse
import os
import statistics
import time

os.environ.setdefault("OMP_NUM_THREADS", "1")


def latent():
    import torch

    from vae_course import data, models, widgets

    torch.set_num_threads(1)
    images = data.load_images("mnist-5k")
    model = models.DenseAutoencoder(2)
    codes = 3 * torch.randn(len(images.test_labels), 2)
    return widgets.latent_explorer(
        model.decode, codes=codes, labels=images.test_labels, class_names=images.class_names
    )


def latent_space():
    """The shipped VAE, twenty digits and their codes."""
    from vae_course import data, pretrained

    images = data.load_images("mnist-5k")
    model, _ = pretrained.load_vae("vae-conv")
    codes = model.encode(images.test_images)[0].detach()
    return images, model, codes, [f"{label} ({i})" for i, label in enumerate(images.test_labels)]


def blender():
    from vae_course import widgets

    images, model, codes, names = latent_space()
    few = slice(0, 20)
    return widgets.blend_explorer(
        model.decode, images.test_images[few], codes[few], names=names[few]
    )


def mixer():
    import torch

    from vae_course import widgets
    from vae_course.metrics import attributes

    _, model, codes, names = latent_space()
    directions = dict(zip(attributes.MEASURES, 0.5 * torch.randn(3, 20), strict=True))
    return widgets.mixer_explorer(model.decode, codes[:20], directions, names=names[:20])


def anomaly():
    import torch

    from vae_course import widgets

    images, *_ = latent_space()
    odd = images.test_labels == 4
    scores = {"score": torch.randn(len(odd)) + odd}
    normal = {"score": torch.randn(450)}
    return widgets.anomaly_explorer(scores, odd, images.test_images, set_on=normal)


def ready_made(name: str):
    def make():
        from vae_course import widgets

        return getattr(widgets, name)()

    return make


def training_run():
    import torch

    from vae_course import training, widgets

    rows = [
        {"epoch": e, **dict.fromkeys(("train_loss", "test_loss"), 100 + 99 / e), "test_kl": 20.0,
         "test_reconstruction": 80 + 99 / e}
        for e in range(1, 19)
    ]  # fmt: skip
    samples, copies = torch.rand(19, 24, 1, 28, 28), torch.rand(19, 6, 1, 28, 28)
    history = training.History(rows)
    return widgets.training_explorer(history, samples, originals=copies[0], copies=copies)


def class_on_request():
    import torch

    from vae_course import models, widgets

    torch.set_num_threads(1)
    model = models.ConditionalVAE.conv(10, channels=16)
    names = [str(index) for index in range(10)]
    return widgets.class_explorer(model.decode, names, latent_dim=10)


def two_generators():
    import torch

    from vae_course import gan, models, widgets

    torch.set_num_threads(1)
    decoders = models.VAE.conv(20, channels=16).decode, gan.Generator.conv(20, channels=16)
    return widgets.two_generators_explorer(*decoders, latent_dim=20)


def next_character():
    import torch

    from vae_course import pretrained, widgets

    torch.set_num_threads(1)
    model, tokenizer, _ = pretrained.load_gpt("gpt-shakespeare-hour")
    return widgets.gpt_explorer(model, tokenizer)


# Each makes an explorer as its notebook does, at the size that the notebook uses.
EXPLORERS = {
    "01 latent": latent,
    "02 transposed convolution": ready_made("transposed_explorer"),
    "03 reparameterization": ready_made("reparameterization_explorer"),
    "04 KL": ready_made("kl_explorer"),
    "04 ELBO gap": ready_made("elbo_gap_explorer"),
    "05 training": training_run,
    "05 class on request": class_on_request,
    "06 two generators": two_generators,
    "07 blender": blender,
    "07 attribute mixer": mixer,
    "07 anomaly threshold": anomaly,
    "08 next character": next_character,
}


def moves(explorer, count: int) -> list[float]:
    """Milliseconds of `count` moves, spread over all sliders, each to a new value."""
    from vae_course.widgets import Slider

    sliders = [name for name, control in explorer.controls.items() if isinstance(control, Slider)]
    times = []
    for index in range(count):
        name = sliders[index % len(sliders)]
        box, slider = explorer.rows[name].holders[:2]
        steps = max(1, round((slider.max - slider.min) / slider.step))
        value = slider.min + slider.step * ((7 * index + 3) % (steps + 1))
        if value == explorer.values[name]:
            continue
        start = time.perf_counter()
        slider.value = min(value, slider.max)
        times.append(1000 * (time.perf_counter() - start))
        assert abs(box.value - slider.value) < 1e-9
    return times


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--moves", type=int, default=100, help="moves of each explorer")
    count = parser.parse_args().moves
    print(f"{'explorer':<28}{'median':>10}{'95 %':>10}   KB / picture")
    for name, make in EXPLORERS.items():
        explorer = make()
        moves(explorer, 5)  # the first draw sets the stage
        times = sorted(moves(explorer, count))
        high = times[int(0.95 * (len(times) - 1))]
        size = len(explorer.image.value) / 1000
        print(f"{name:<28}{statistics.median(times):>7.1f} ms{high:>7.1f} ms{size:>10.0f}")


if __name__ == "__main__":
    main()
