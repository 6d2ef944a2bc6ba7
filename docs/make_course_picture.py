r"""Draw docs/course.png, the picture of the README: a VAE's map of the digits and its own digits.

python docs/make_course_picture.py      # about a minute, on the bundled digits
"""

from pathlib import Path

import torch
from matplotlib import pyplot as plt

from vae_course import data, losses, models, plots, training

LATENT_DIM = 2
GRID = 15  # digits a side of the manifold


def loss(model, image):
    return losses.negative_elbo(*_ordered(model(image), image))


def _ordered(outputs, image):
    logits, mean, log_var = outputs
    return logits, image, mean, log_var


def manifold(model) -> torch.Tensor:
    r"""GRID × GRID decoded quantiles of the prior, as one picture (28 · GRID, 28 · GRID)."""
    quantiles = torch.distributions.Normal(0, 1).icdf(torch.linspace(0.03, 0.97, GRID))
    across, down = torch.meshgrid(quantiles, quantiles.flip(0), indexing="xy")
    with torch.no_grad():
        tiles = model.decode(torch.stack([across, down], dim=-1).view(-1, LATENT_DIM))
    tiles = tiles.view(GRID, GRID, 28, 28).permute(0, 2, 1, 3)  # (row, y, column, x)
    return tiles.reshape(GRID * 28, GRID * 28)


def main() -> None:
    digits = data.load_images("mnist-5k")
    training.seed_everything(0)
    plots.use_house_style()
    model = models.VAE.dense(LATENT_DIM)
    for learning_rate, epochs in ((2e-3, 60), (3e-4, 20)):
        training.fit(
            model,
            loss,
            digits.train_images,
            epochs=epochs,
            batch_size=64,
            learning_rate=learning_rate,
            test_images=digits.test_images,
        )
    with torch.no_grad():
        mean, _ = model.encode(digits.test_images)
    fig, (left, right) = plt.subplots(1, 2, figsize=(10.4, 5), width_ratios=[1.08, 1])
    plots.latent_map(
        mean,
        digits.test_labels,
        digits.class_names,
        ax=left,
        title="Where a VAE puts 1,000 digits that it never saw …",
    )
    left.set(xlim=(-4, 4), ylim=(-4, 4))
    right.imshow(manifold(model), cmap="gray", vmin=0, vmax=1)
    right.set_axis_off()
    right.set_title("… and what it writes by itself, position by position")
    fig.savefig(Path(__file__).parent / "course.png", dpi=110)


if __name__ == "__main__":
    main()
