"""What a move costs: from a slider's new value to the new picture, without a browser.

    python -m benchmarks.explorers [--moves 100]

Prints the median and the 95th percentile of each explorer in milliseconds, the processor's time of
a move, which other programs change less, and the same in plain redraws: a figure of two axes, one
line and one small image, drawn and written as PNG by matplotlib, timed before each explorer. More
than 50 ms and a picture lags behind the hand.
"""

import argparse
import io
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


def drawing_pad():
    from vae_course import widgets

    images, model, *_ = latent_space()
    train, labels = images.train_images[:2000], images.train_labels[:2000]
    return widgets.drawing_pad(model.encode, model.decode, images=train, labels=labels)


def letters():
    import torch

    from vae_course import data, pretrained, widgets

    torch.set_num_threads(1)
    images = data.load_images("mnist-5k")
    (model, _), (prior, _) = pretrained.load("vq-digits"), pretrained.load("vq-prior")
    few = [int((images.test_labels == label).nonzero()[0]) for label in range(10)]
    digits = images.test_images[few]
    return widgets.codes_explorer(model, prior, digits, torch.arange(10), names=list("0123456789"))


def out_of_noise():
    import torch

    from vae_course import pretrained, widgets

    torch.set_num_threads(1)
    model, _ = pretrained.load("diffusion")
    return widgets.diffusion_explorer(model, names=list("0123456789"))


# Each makes an explorer as its notebook does, at the size that the notebook uses.
EXPLORERS = {
    "01 latent": latent,
    "02 transposed convolution": ready_made("transposed_explorer"),
    "03 reparameterization": ready_made("reparameterization_explorer"),
    "04 KL": ready_made("kl_explorer"),
    "04 ELBO gap": ready_made("elbo_gap_explorer"),
    "05 training": training_run,
    "05 class on request": class_on_request,
    "05 drawing pad": drawing_pad,
    "06 two generators": two_generators,
    "07 blender": blender,
    "07 attribute mixer": mixer,
    "07 anomaly threshold": anomaly,
    "08 next character": next_character,
    "10 digit in letters": letters,
    "11 digit out of noise": out_of_noise,
}


def plain_redraw(count: int = 7) -> float:
    """Milliseconds of processor for one figure as matplotlib draws and writes it; the median."""
    import numpy as np
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 3))
    canvas = FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2)
    left.plot(np.sin(np.linspace(0, 9, 200)))
    right.imshow(np.eye(28))
    times = []
    for _ in range(count):
        start = time.process_time()
        canvas.print_png(io.BytesIO())
        times.append(1000 * (time.process_time() - start))
    return statistics.median(times)


def moves(explorer, count: int) -> list[tuple[float, float]]:
    """Milliseconds of `count` moves, by the clock and of processor, spread over all sliders, each
    to a new value.
    """
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
        start, spent = time.perf_counter(), time.process_time()
        slider.value = min(value, slider.max)
        spent = time.process_time() - spent
        times.append((1000 * (time.perf_counter() - start), 1000 * spent))
        assert abs(box.value - slider.value) < 1e-9
    return times


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--moves", type=int, default=100, help="moves of each explorer")
    count = parser.parse_args().moves
    print("| explorer | median (ms) | 95th percentile (ms) | processor (ms) | redraws | KB |")
    print("|---|---|---|---|---|---|")
    for name, make in EXPLORERS.items():
        explorer, unit = make(), plain_redraw()
        moves(explorer, 5)  # the first draw sets the stage
        clock, spent = map(sorted, zip(*moves(explorer, count), strict=True))
        processor, late = statistics.median(spent), clock[int(0.95 * (len(clock) - 1))]
        numbers = f"{statistics.median(clock):.0f} | {late:.0f} | {processor:.0f}"
        size = len(explorer.image.value) / 1000
        print(f"| {name} | {numbers} | {processor / unit:.2f} | {size:.0f} |", flush=True)


if __name__ == "__main__":
    main()
