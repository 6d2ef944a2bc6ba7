r"""The explorer of chapter 08: what a GPT expects next, and where it looks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import matplotlib
import numpy as np
from matplotlib.colors import to_rgb

from vae_course.plots.style import HOUSE_STYLE, PALETTE
from vae_course.widgets._controls import Choice, Slider, Text
from vae_course.widgets._core import Explorer, Grip
from vae_course.widgets._drawing import LiveFigure, house_figure

if TYPE_CHECKING:
    from torch import Tensor

    from vae_course.gpt import CharGPT, CharTokenizer

LONGEST = 28  # characters of the prompt that are shown; more would be too small to read
BARS = 12  # characters whose probabilities are drawn


def gpt_explorer(
    model: CharGPT,
    tokenizer: CharTokenizer,
    *,
    prompt: str = "ROMEO:\nWhat light through",
    title: str = "what comes next, and where the model looks",
) -> Explorer:
    r"""The prompt in boxes shaded by attention, the next character's probabilities, the map.

    The cursor chooses a character. The bars say what the model expects *after* it, once
    temperature and top-k have been applied (the marks: before). The boxes and the outlined row of
    the map say where one head looks from there. Type a prompt and press Enter; a line break is
    written \n, and characters that the model doesn't know are left out.
    """
    import torch

    from vae_course.gpt import next_probs

    layers, heads = len(model.blocks), model.blocks[0].attention.heads
    looks = {
        f"layer {layer + 1}, head {head + 1}": (layer, head)
        for layer in range(layers)
        for head in range(heads)
    }
    averages = {f"layer {layer + 1}, all heads": (layer, None) for layer in range(layers)}
    longest = min(LONGEST, model.block_size)
    cached: dict[str, tuple[Tensor, list[Tensor]]] = {}

    def read(prompt: str) -> str:
        text = prompt.replace("\\n", "\n")
        known = [character for character in text if character in tokenizer.characters]
        return "".join(known)[-longest:] or "\n"

    def computed(text: str) -> tuple[Tensor, list[Tensor]]:
        if text not in cached:
            cached.clear()
            tokens = tokenizer.encode(text)[None]  # (1, T)
            with torch.no_grad():
                cached[text] = model(tokens)[0], model.attention_maps(tokens)
        return cached[text]

    def at(prompt: str, cursor: int, look: tuple) -> tuple:
        text = read(prompt)
        logits, maps = computed(text)
        layer, head = look
        weights = maps[layer][0].mean(dim=0) if head is None else maps[layer][0, head]
        return text, min(cursor, len(text)) - 1, logits, weights.numpy()  # (T, T)

    stage: dict[str, _Stage] = {}  # the last one only

    def stage_of(text: str) -> _Stage:
        if text not in stage:
            stage.clear()
            stage[text] = _Stage(text)
        return stage[text]

    def draw(prompt, cursor, temperature, top_k, look) -> bytes:
        text, place, logits, weights = at(prompt, cursor, look)
        before = logits[place].softmax(dim=-1)  # (V,)
        after = next_probs(logits[place][None], temperature, top_k=top_k)[0]  # (V,)
        shown = stage_of(text)
        return shown.png(place, weights, tokenizer.characters, before.numpy(), after.numpy())

    def describe(prompt, cursor, temperature, top_k, look) -> str:
        text, place, logits, weights = at(prompt, cursor, look)
        after = next_probs(logits[place][None], temperature, top_k=top_k)[0]
        likely = after.topk(3)
        said = ", ".join(
            f"{_name(tokenizer.characters[token])} {100 * share:.0f} %"
            for share, token in zip(likely.values.tolist(), likely.indices.tolist(), strict=True)
        )
        best = int(weights[place].argmax())
        return (
            f"After {_name(text[place])} (character {place + 1} of {len(text)}) the model expects: "
            f"{said}. From there the attention is strongest on {_name(text[best])}, "
            f"{_ago(place - best)} ({100 * weights[place, best]:.0f} %)."
        )

    def limits(prompt, **_others) -> dict[str, tuple[int, int]]:
        return {"cursor": (1, max(2, len(read(prompt))))}

    def grips(prompt, **_others) -> list[Grip]:
        text = read(prompt)
        shown = stage_of(text)
        ends = (0.5, len(text) + 0.5)
        return [
            shown.live.grip(shown.boxes, "cursor", x_ends=ends),
            shown.live.grip(shown.map, y="cursor", y_ends=ends),
        ]

    start = prompt.replace("\n", "\\n")
    return Explorer(
        title,
        {
            "prompt": Text("prompt", start),
            "cursor": Slider("cursor at character", 1, longest, min(len(read(start)), longest), 1),
            "temperature": Slider("temperature", 0.1, 2.0, 1.0, 0.1),
            "top_k": Slider("top k", 1, len(tokenizer), len(tokenizer), 1),
            "look": Choice("attention of", averages | looks, (layers - 1, None)),
        },
        draw,
        describe,
        limits=limits,
        grips=grips,
        live={
            "cursor": range(1, max(2, len(read(start))) + 1), "look": None,
            "temperature": (0.5, 1.0, 1.5),
        },
        hold="Press a character, or a row of the map, to put the cursor there.",
        how_to="Type a prompt (\\n is a line break) and press Enter; move the cursor through it.",
    )  # fmt: skip


class _Stage:
    r"""The figure of one prompt. The cursor, the bars, the shades and the map move in it."""

    def __init__(self, text: str):
        self.text = text
        with matplotlib.rc_context(HOUSE_STYLE):
            figure = house_figure(7.4, 4.6)
            upper, lower = figure.subfigures(2, 1, height_ratios=[1, 3.2])
            boxes, (bars, grid) = upper.subplots(), lower.subplots(1, 2, width_ratios=[1.15, 1])
            self._boxes(boxes)
            self._bars(bars)
            self._map(grid)
        moving = [self.veil, self.image, self.box, *self.rects, self.marks, *self.names]
        self.live = LiveFigure(figure, [*moving, *self.shares, self.title, self.row])

    def _boxes(self, axes) -> None:
        self.boxes = axes
        middle = {"ha": "center", "va": "center_baseline", "family": "monospace", "size": 10}
        for column, character in enumerate(self.text):
            axes.text(column, 0, _glyph(character), **middle)
        # Letters are slow to draw, so they stand still, and the shades lie over them as a veil.
        veil = np.zeros((1, len(self.text), 4))  # red, green, blue, opacity
        self.veil = axes.imshow(veil, aspect="auto", interpolation="nearest")
        self.box = axes.add_patch(_outline(-0.5, -0.5, 1, 1))
        axes.set(xticks=[], yticks=[], title="where the outlined character looks (darker: more)")
        axes.grid(False)

    def _bars(self, axes) -> None:
        rows = np.arange(BARS)
        self.rects = axes.barh(rows, np.zeros(BARS), color=PALETTE[0])
        (self.marks,) = axes.plot(np.zeros(BARS), rows, "D", color=PALETTE[1], ms=4, ls="none")
        name = {"ha": "center", "va": "center_baseline", "family": "monospace"}
        self.names = [axes.text(-4, row, "", **name) for row in rows]
        share = {"va": "center_baseline", "size": 8}
        self.shares = [axes.text(0, row, "", **share) for row in rows]
        self.title = axes.text(0, -0.85, "", size=12)
        axes.set(xlabel="probability (%)", xlim=(0, 112), ylim=(BARS - 0.3, -0.7), yticks=[])
        axes.set(title=" ", xticks=range(0, 101, 20))
        axes.legend([self.marks], ["before temperature, top-k"], loc="lower right", fontsize=8)

    def _map(self, axes) -> None:
        self.map = axes
        blank = np.zeros((len(self.text), len(self.text)))
        self.image = axes.imshow(blank, cmap="Blues", vmin=0, vmax=0.6, interpolation="nearest")
        self.row = axes.add_patch(_outline(-0.5, -0.5, len(self.text), 1))
        letters = [_glyph(character) for character in self.text]
        size = 8 if len(letters) <= 22 else 7
        axes.set_xticks(range(len(letters)), letters, size=size, family="monospace")
        axes.set_yticks(range(len(letters)), letters, size=size, family="monospace")
        axes.tick_params(length=0)
        axes.grid(False)
        axes.set(xlabel="… at this one", title="each row looks at …")

    def png(
        self, place: int, maps: np.ndarray, characters: str, before: np.ndarray, after: np.ndarray
    ) -> bytes:
        self.image.set_data(maps)  # (T, T)
        weights = maps[place]  # (T,)
        veil = np.ones((1, len(weights), 4))
        veil[0, :, 3] = 0.6  # white, over what comes later
        veil[0, : place + 1, :3] = to_rgb(PALETTE[0])
        veil[0, : place + 1, 3] = 0.5 * weights[: place + 1] / max(float(weights.max()), 0.3)
        self.veil.set_data(veil)
        self.box.set_x(place - 0.5)
        self.row.set_y(place - 0.5)
        self.title.set_text(f"next, after {_name(self.text[place])}")
        order = np.lexsort((-before, -after))[:BARS]
        shown = zip(self.rects, self.names, self.shares, order, strict=True)
        for rect, name, share, token in shown:
            rect.set_width(100 * after[token])
            name.set_text(_glyph(characters[token]))
            share.set(text=f"{100 * after[token]:.0f}", alpha=float(after[token] > 0))
            share.set_x(100 * max(after[token], before[token]) + 2)
        self.marks.set_xdata(100 * before[order])
        return self.live.png()


def _outline(x: float, y: float, width: float, height: float):
    from matplotlib.patches import Rectangle

    return Rectangle((x, y), width, height, fill=False, edgecolor=PALETTE[1], linewidth=2)


def _glyph(character: str) -> str:
    return {" ": "␣", "\n": "↵"}.get(character, character)


def _name(character: str) -> str:
    return {" ": "a space", "\n": "a line break"}.get(character, f'"{character}"')


def _ago(steps: int) -> str:
    return {0: "the character itself", 1: "one back"}.get(steps, f"{steps} back")
