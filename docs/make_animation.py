r"""Draw docs/two-becomes-three.gif for the README: a 2 that becomes a 3, and back.

python docs/make_animation.py      # a second, with the weights that ship with the course
"""

from pathlib import Path

import torch

from vae_course import data, pretrained
from vae_course.latent import slerp
from vae_course.plots.animation import animation, there_and_back

TARGET = Path(__file__).with_name("two-becomes-three.gif")
FRAMES = 24  # from the 2 to the 3
DIGITS = (2, 3)  # places of the two in mnist-5k's test images, which are in turns 0, 1, … 9


def frames(model) -> torch.Tensor:
    r"""The decoded great circle from the 2 to the 3: (FRAMES, 1, 28, 28)."""
    images = data.load_images("mnist-5k").test_images
    with torch.no_grad():
        mean, _ = model.encode(images[list(DIGITS)])
        path = [slerp(mean[0], mean[1], t) for t in torch.linspace(0, 1, FRAMES).tolist()]
        return model.decode(torch.stack(path))


def main() -> None:
    model, _ = pretrained.load_vae("vae-conv")
    TARGET.write_bytes(animation(there_and_back(frames(model)), format="gif", scale=5))
    print(f"{TARGET.name}: {TARGET.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
