r"""From a folder of 2,000 colour pictures to samples, card and report with one command, measured.

`python -m benchmarks.own_pictures FOLDER` draws the pictures into FOLDER/pictures (64 × 64 pixels,
small landscapes), runs `vae-course train` on them with its defaults, and prints minutes, processor
minutes and peak memory. --photographs takes patches of scikit-learn's two photographs instead.
"""

from __future__ import annotations

import argparse
import colorsys
import math
import os
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

SIDE, LARGE = 64, 256  # pixels of a picture; drawn four times as large, and made smaller


def landscape(random: np.random.RandomState) -> tuple[str, Image.Image]:
    r"""A sky with a sun or moon, hills, a house and trees; and whether it is day, dusk or night."""
    kind = ("day", "dusk", "night")[random.randint(3)]
    top, low = {
        "day": ((0.58, 0.55, 0.95), (0.55, 0.15, 1.0)),
        "dusk": ((0.75, 0.45, 0.55), (0.06, 0.65, 1.0)),
        "night": ((0.65, 0.75, 0.16), (0.63, 0.6, 0.4)),
    }[kind]
    shift = random.uniform(-0.03, 0.03)
    ends = [np.array(colorsys.hsv_to_rgb((h + shift) % 1, s, v)) for h, s, v in (top, low)]
    down = np.linspace(0, 1, LARGE)[:, None, None]
    sky = (1 - down) * ends[0] + down * ends[1]
    picture = Image.fromarray((255 * np.broadcast_to(sky, (LARGE, LARGE, 3))).astype(np.uint8))
    pen = ImageDraw.Draw(picture)
    light = {"day": 1.0, "dusk": 0.6, "night": 0.3}[kind]

    def shade(hue, saturation, value):
        return tuple(round(255 * c) for c in colorsys.hsv_to_rgb(hue, saturation, value * light))

    x, y, r = random.randint(30, 226), random.randint(30, 100), random.randint(14, 30)
    disc = {"day": (255, 236, 130), "dusk": (255, 170, 80), "night": (235, 235, 220)}[kind]
    pen.ellipse([x - r, y - r, x + r, y + r], fill=disc)
    ground = np.zeros(LARGE)
    for layer in range(2):
        base, high = 150 + 40 * layer + random.randint(-12, 12), random.randint(8, 30)
        turn, waves = random.uniform(0, 2 * math.pi), random.uniform(0.6, 1.6)
        ground = base + high * np.sin(turn + waves * np.linspace(0, 2 * math.pi, LARGE))
        colour = shade(random.uniform(0.22, 0.38), 0.6, 0.85 - 0.25 * layer)
        edge = [(column, float(height)) for column, height in enumerate(ground)]
        pen.polygon([*edge, (LARGE, LARGE), (0, LARGE)], fill=colour)
    wide, tall = random.randint(40, 64), random.randint(30, 46)
    left = random.randint(10, LARGE - wide - 10)
    foot = float(ground[left : left + wide].mean()) + 12
    hue = random.choice([0.0, 0.06, 0.12, 0.58])
    pen.rectangle([left, foot - tall, left + wide, foot], fill=shade(hue, 0.35, 0.95))
    roof = [(left - 8, foot - tall), (left + wide / 2, foot - 1.8 * tall),
            (left + wide + 8, foot - tall)]  # fmt: skip
    pen.polygon(roof, fill=shade(0.02, 0.75, 0.65))
    window = (255, 225, 120) if kind != "day" else (70, 80, 110)
    pen.rectangle([left + 0.3 * wide, foot - 0.7 * tall, left + 0.6 * wide, foot - 0.35 * tall],
                  fill=window)  # fmt: skip
    return kind, picture.resize((SIDE, SIDE), Image.Resampling.LANCZOS)


def draw_pictures(folder: Path, count: int = 2000, *, seed: int = 0) -> Path:
    r"""Landscapes as PNG files in a folder for each class."""
    random = np.random.RandomState(seed)
    for number in range(count):
        kind, picture = landscape(random)
        (folder / kind).mkdir(parents=True, exist_ok=True)
        picture.save(folder / kind / f"{number:04d}.png")
    return folder


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--photographs", action="store_true", help="patches of two photographs")
    arguments, options = parser.parse_known_args()
    pictures, out = arguments.folder / "pictures", arguments.folder / "run"
    if not pictures.is_dir():
        arguments.folder.mkdir(parents=True, exist_ok=True)
        if arguments.photographs:
            from vae_course.data import write_patches

            write_patches(pictures, size=SIDE, images=2000)
        else:
            draw_pictures(pictures)
    words = ["train", "--model", "conv-vae", "--data", str(pictures), "--out", str(out), *options]
    begun = time.perf_counter()
    code = subprocess.run([sys.executable, "-m", "vae_course", *words]).returncode
    minutes = (time.perf_counter() - begun) / 60
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    share = 1024 if sys.platform != "darwin" else 1  # kilobytes, on a Mac bytes
    print(
        f"{minutes:.1f} minutes, {(used.ru_utime + used.ru_stime) / 60:.1f} processor minutes on "
        f"{os.cpu_count()} cores, {used.ru_maxrss * share / 2**30:.2f} GiB at most"
    )
    return code


if __name__ == "__main__":
    sys.exit(main())
