r"""Explorers that move without a kernel: drawn over a grid of their values, packed into one file.

A file is two lengths (uint32, little-endian), then JSON and an index, both gzipped, then pieces of
pictures. Pictures are cut into squares, and equal squares of one place are stored once, compressed
against a few others of their place. `frozen.js` beside this module puts them together in a page.
Of a quiz there is the JSON alone, for `frozen_quiz.js`.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import itertools
import json
import math
import re
import struct
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from vae_course.files import write_whole
from vae_course.plots.pictures import CSS_DPI, DPI
from vae_course.widgets._controls import Again, Choice, Control, Slider, Switch, Text

if TYPE_CHECKING:
    from vae_course.widgets._core import Explorer

LIMIT = 3_000_000  # bytes a file
STATES = 1500  # pictures an explorer: what a minute or two can draw
LONGEST, SHORTEST = 40, 5  # values of a slider
PRESSES = 4  # draws of a button such as "New noise"
SQUARE = 64  # dots; smaller ones repeat more often, larger ones compress better
EXAMPLES = 4  # squares of a place against which the others are compressed: 16 KB
COLOURS = 170  # besides 86 greys


def freeze(
    explorer: Explorer, folder: Path, *, limit: int = LIMIT, states: int = STATES
) -> Path:
    r"""Draw an explorer over a grid of its values into folder/<its title>.bin; the same each time.

    limit, states: bytes of the file and pictures in it; where the grid is larger, sliders get
        fewer values, down to five, and then the least important controls stand still
    Raises: ValueError if not even one control fits, or the pictures differ in size.
    """
    if limit < 1 or states < 2:
        raise ValueError(f"limit {limit}, states {states}; expected 1 or more, and 2 or more")
    folder = checked_folder(folder)
    wanted = explorer.live
    while True:
        axes = plan(explorer.controls, wanted, states)
        packed = _packed(explorer, axes)
        if len(packed) <= limit:
            break
        count = math.prod(map(len, axes.values()))
        states = min(int(0.95 * states * limit / len(packed)), count - 1)
        if states < 2:
            raise ValueError(
                f"{explorer.title!r} needs {len(packed):,} bytes for {count} states, the limit is "
                f"{limit:,}: freeze it with a higher one, or name fewer controls (live=…)"
            )
    return _written(folder, explorer.title, packed)


def freeze_quiz(title: str, about: Mapping[str, Any], folder: Path) -> Path:
    r"""Write what a page needs to ask a quiz into folder/<its title>.bin; `about` is JSON."""
    return _written(checked_folder(folder), title, _file({"title": title, "quiz": about}))


def read(path: Path) -> dict[str, Any]:
    r"""What a frozen explorer or quiz says of itself; its pictures stay where they are."""
    packed = path.read_bytes()
    return json.loads(gzip.decompress(packed[8 : 8 + struct.unpack("<I", packed[:4])[0]]))


def table(folder: Path) -> str:
    r"""All that is frozen under a folder, in Markdown: size, pictures, what moves, what is fixed.

    Processor seconds are in it where `Explorer.show` has left them beside the file.
    """
    head = "notebook | explorer | MB | pictures | processor (s) | moves (values) | note in the page"
    lines = [f"| {head} |", "|---|---|---:|---:|---:|---|---|"]
    total = 0.0
    for path in sorted(folder.glob("*/*.bin")):
        about, size = read(path), path.stat().st_size / 1e6
        total += size
        seconds = path.with_suffix(".seconds")
        spent = f"{float(seconds.read_text()):.0f}" if seconds.exists() else "–"
        moves = [f"{each['label']} ({len(each['values'])})" for each in about.get("controls", [])]
        count = len(set(about["drawn"])) if "drawn" in about else len(about["quiz"]["key"])
        chapter = path.parent.name.split("_")[0]
        cells = [chapter, about["title"], f"{size:.2f}", str(count), spent]
        cells += [", ".join(moves) or "buttons, letters", about.get("note") or "–"]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([*lines, "", f"{len(lines) - 2} files, {total:.1f} MB.", ""])


def checked_folder(folder: Path) -> Path:
    r"""The path, unless a file stands there (NotADirectoryError)."""
    folder = Path(folder)
    if folder.exists() and not folder.is_dir():
        raise NotADirectoryError(f"{folder} is a file; expected a folder for the frozen explorers")
    return folder


def _written(folder: Path, title: str, packed: bytes) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / file_name(title)
    write_whole(path, packed)
    return path


def _file(about: Mapping[str, Any], index: bytes = b"", pieces: bytes = b"") -> bytes:
    text = gzip.compress(json.dumps(about, ensure_ascii=False).encode(), 9, mtime=0)
    index = gzip.compress(index, 9, mtime=0)
    return struct.pack("<II", len(text), len(index)) + text + index + pieces


def file_name(title: str) -> str:
    r"""Where an explorer with this title is frozen: "two densities" → "two-densities.bin"."""
    return re.sub(r"\W+", "-", title.lower()).strip("-") + ".bin"


def plan(
    controls: Mapping[str, Control], wanted: Mapping[str, Any], states: int
) -> dict[str, list]:
    r"""The values of each control that moves, together at most `states` combinations.

    wanted: control → how many values, which ones, or None for all; the most important one first
    Raises: ValueError on what no control can be, or if the first control alone is too large.
    """
    axes = {name: _axis(name, controls.get(name), want) for name, want in wanted.items()}
    while math.prod(map(len, axes.values())) > states:
        may_shrink = [
            name for name, want in wanted.items()
            if isinstance(controls[name], Slider) and not isinstance(want, Sequence)
            and len(axes[name]) > SHORTEST
        ]  # fmt: skip
        if not may_shrink:
            if len(wanted) == 1:
                raise ValueError(f"{next(iter(wanted))!r} has more than {states} values by itself")
            return plan(controls, dict(list(wanted.items())[:-1]), states)
        longest = max(may_shrink, key=lambda name: len(axes[name]))
        axes[longest] = _spread(controls[longest], len(axes[longest]) - 1)
    return axes


def _axis(name: str, control: Control | None, want: Any) -> list:
    listed = isinstance(want, Sequence) and not isinstance(want, str)
    if control is None or (isinstance(control, Text) and not listed):
        raise ValueError(
            f"live names {name!r}; expected a slider, choice, switch or button, or texts to choose "
            "from"
        )
    if listed:
        values = [control.checked(value) for value in want]
    elif want is not None and (not isinstance(want, int) or want < 2):
        raise ValueError(f"live: {name!r} is {want!r}; expected a list of values, a count, or None")
    elif isinstance(control, Slider):
        return _spread(control, min(want or LONGEST, LONGEST))
    elif isinstance(control, Again):
        values = [control.value + press for press in range(want or PRESSES)]
    elif isinstance(control, Switch):
        values = [False, True]
    else:
        values = [value for _, value in control.pairs][:want]
    return values if control.value in values else [control.value, *values]


def _spread(control: Slider, count: int) -> list[float]:
    r"""Steps of a slider at about equal distances; its first value is one of them."""
    last = round((control.high - control.low) / control.step)
    places = np.unique(np.linspace(0, last, min(count, last + 1)).round().astype(int))
    values = [control.clamped(control.low + int(place) * control.step) for place in places]
    nearest = min(range(len(values)), key=lambda place: abs(values[place] - control.value))
    values[nearest] = control.clamped(control.value)
    return values


def _packed(explorer: Explorer, axes: Mapping[str, list]) -> bytes:
    states = [dict(zip(axes, values, strict=True)) for values in itertools.product(*axes.values())]
    first = {name: control.value for name, control in explorer.controls.items()}
    numbers = {tuple(state.values()): number for number, state in enumerate(states)}
    moves = [numbers[_allowed(explorer, axes, first, state)] for state in states]
    drawn = sorted(set(moves))
    sample = [_pixels(explorer, states[drawn[at]]) for at in _evenly(len(drawn), 48)]
    colours = _Colours(sample)
    squares = _Squares()
    words, grips = [], []
    for number in drawn:
        squares.add(colours.index(_pixels(explorer, states[number])))
        words.append(explorer.words(**states[number]))
        grips.append(_moving(explorer.grips(**states[number]), axes))
    place = {number: at for at, number in enumerate(drawn)}
    different = list({json.dumps(each): each for each in grips}.values())
    about, index, pieces = squares.packed()
    height, width = sample[0].shape[:2]
    about |= {
        "title": explorer.title,
        "hold": explorer.hold if any(grips) else "",
        "note": _note(explorer, axes),
        "size": [width, height],
        "shown": round(width * CSS_DPI / DPI),
        "palette": base64.b64encode(colours.palette.tobytes()).decode(),
        "controls": [_control(name, explorer.controls[name], axes[name]) for name in axes],
        "moves": moves,
        "drawn": [place[number] for number in moves],
        "words": words,
        "grips": different,
        "gripped": [different.index(each) for each in grips],
    }
    return _file(about, index, pieces)


def _allowed(explorer, axes, first, state) -> tuple:
    r"""The values nearest to a state that the explorer's limits allow, all of them on the grid."""
    state = dict(state)
    for name, (low, high) in explorer.ends(**(first | state)).items():
        if name in axes and not low <= state[name] <= high:
            inside = [value for value in axes[name] if low <= value <= high] or axes[name]
            state[name] = min(inside, key=lambda value: abs(value - state[name]))
    return tuple(state.values())


def _evenly(count: int, wanted: int) -> np.ndarray:
    return np.unique(np.linspace(0, count - 1, wanted).round().astype(int))


def _pixels(explorer: Explorer, state: Mapping[str, Any]) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(explorer.picture(**state))).convert("RGB"))


def _control(name: str, control: Control, values: list) -> dict[str, Any]:
    lead = f"{control.label} = " if isinstance(control, Slider) else f"{control.label}: "
    options = values if isinstance(control, Text) else None
    if isinstance(control, Choice):
        options = [value for _, value in control.pairs]
    return {
        "name": name,
        "kind": "choice" if options else type(control).__name__.lower(),
        "label": control.label,
        "texts": [control.words(value).removeprefix(lead) for value in values],
        # where a grip puts it: a slider's values, of a choice the place of the option
        "values": [options.index(v) if options else float(v) for v in values],
        "first": values.index(control.value),
        "play": getattr(control, "play", None),
    }


def _moving(grips, axes) -> list[dict[str, Any]]:
    r"""Grips as JSON, without what stands still in the page."""
    kept = []
    for grip in map(asdict, grips):
        grip |= {axis: None for axis in "xy" if grip[axis] not in axes}
        if grip["x"] or grip["y"]:
            kept.append(json.loads(json.dumps(grip, default=float)))
    return kept


def _note(explorer, axes) -> str:
    r"""What doesn't move in the page, and would in a notebook; empty if everything does."""
    still, coarse, own = [], False, []
    for name, control in explorer.controls.items():
        own += [control.in_a_page] if hasattr(control, "in_a_page") else []
        count = len(axes.get(name, []))
        if name not in axes:
            still.append(control.words(control.value))
        elif isinstance(control, Text | Again):
            still.append(f"{control.label}: one of {count}")
        elif isinstance(control, Choice) and count < len(control.pairs):
            still.append(f"{control.label}: {count} of {len(control.pairs)}")
        elif isinstance(control, Slider):
            coarse |= count < 1 + round((control.high - control.low) / control.step)
    said = [f"Fixed on this page, free in the notebook: {', '.join(still)}."] if still else []
    said += ["Sliders take larger steps here than in the notebook."] if coarse else []
    return " ".join(said + own)


class _Colours:
    r"""86 greys and up to 170 colours, chosen from a sample of pictures so that rare ones count."""

    def __init__(self, sample: Sequence[np.ndarray]):
        if len({picture.shape for picture in sample}) > 1:
            shapes = sorted({f"{p.shape[1]} × {p.shape[0]}" for p in sample})
            raise ValueError(f"pictures of {', '.join(shapes)} dots; expected one size")
        found = np.unique(np.concatenate([np.unique(_one_number(picture)) for picture in sample]))
        found = _three_numbers(found)
        found = found[np.ptp(found, axis=1) > 0]
        greys = np.repeat(np.arange(0, 256, 3), 3).reshape(-1, 3)
        self.palette = greys.astype(np.uint8)
        if len(found):
            line = Image.fromarray(found.astype(np.uint8)[None])
            few = line.quantize(COLOURS, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
            colours = np.array(few.getpalette()[: 3 * COLOURS], np.uint8).reshape(-1, 3)
            self.palette = np.concatenate([self.palette, colours])
        self._shape = sample[0].shape
        self._nearest = np.full(1 << 24, -1, np.int16)

    def index(self, picture: np.ndarray) -> np.ndarray:
        r"""(H, W, 3) → (H, W), the nearest colour of each dot."""
        if picture.shape != self._shape:
            raise ValueError(
                f"pictures of {self._shape[1]} × {self._shape[0]} and {picture.shape[1]} × "
                f"{picture.shape[0]} dots; expected one size"
            )
        packed = _one_number(picture)
        found = self._nearest[packed]
        if found.min() < 0:
            new = np.unique(packed[found < 0])
            for some in np.array_split(new, 1 + len(new) // 4096):
                away = _three_numbers(some)[:, None] - self.palette.astype(np.int32)
                self._nearest[some] = (away**2).sum(axis=2).argmin(axis=1)
            found = self._nearest[packed]
        return found.astype(np.uint8)


def _one_number(picture: np.ndarray) -> np.ndarray:
    wide = picture.astype(np.int32)
    return wide[..., 0] << 16 | wide[..., 1] << 8 | wide[..., 2]


def _three_numbers(packed: np.ndarray) -> np.ndarray:
    return np.stack([packed >> 16, packed >> 8 & 255, packed & 255], axis=-1)


class _Squares:
    r"""Pictures cut into squares; of each place every different square once."""

    def __init__(self):
        self.numbers: list[dict[bytes, int]] = []  # of a place: digest of a square → its number
        self.squares: list[list[bytes]] = []  # of a place: its squares, packed loosely
        self.rows: list[list[int]] = []  # of a picture: the number of each place

    def add(self, picture: np.ndarray) -> None:
        height, width = picture.shape
        room = ((0, -height % SQUARE), (0, -width % SQUARE))
        whole = np.pad(picture, room)
        cut = whole.reshape(whole.shape[0] // SQUARE, SQUARE, -1, SQUARE).swapaxes(1, 2)
        squares = [square.tobytes() for row in cut for square in row]
        self.numbers = self.numbers or [{} for _ in squares]
        self.squares = self.squares or [[] for _ in squares]
        self.rows.append([])
        for seen, kept, square in zip(self.numbers, self.squares, squares, strict=True):
            name = hashlib.blake2b(square, digest_size=16).digest()
            if name not in seen:
                seen[name] = len(kept)
                kept.append(zlib.compress(square, 1))  # else they fill the memory
            self.rows[-1].append(seen[name])

    def packed(self) -> tuple[dict, bytes, bytes]:
        r"""What the page must know of them, the index (pictures × places that change), the pieces.

        The pieces begin with the examples of all places in one gzip stream.
        """
        examples, chunks, counts, lengths = [], [], [], []
        for kept in self.squares:
            squares = [zlib.decompress(square) for square in kept]
            few = [squares[place] for place in _evenly(len(squares), EXAMPLES)]
            examples += few
            counts.append(len(few))
            if len(squares) > 1:
                packed = [_against(b"".join(few), square) for square in squares]
                chunks += packed
                lengths.append([len(chunk) for chunk in packed])
        changing = [place for place, kept in enumerate(self.squares) if len(kept) > 1]
        index = np.array(self.rows, "<u2")[:, changing]  # (pictures, places)
        together = gzip.compress(b"".join(examples), 9, mtime=0)
        about = {
            "square": SQUARE, "examples": counts, "examples_length": len(together),
            "changing": changing, "lengths": lengths,
        }  # fmt: skip
        return about, index.tobytes(), together + b"".join(chunks)


def _against(examples: bytes, square: bytes) -> bytes:
    r"""Raw deflate with a dictionary, ended so that more can follow (less its constant end)."""
    packer = zlib.compressobj(6, zlib.DEFLATED, -15, 9, zdict=examples)
    return (packer.compress(square) + packer.flush(zlib.Z_SYNC_FLUSH))[:-4]


def inline(files: Sequence[Path]) -> str:
    r"""Script elements for a page that holds everything: the files in base64, and the module."""
    parts = [
        f'<script type="text/plain" id="{path.stem}">'
        f"{base64.b64encode(path.read_bytes()).decode()}</script>"
        for path in files
    ]
    names = ("picture.js", "frozen_quiz.js", "frozen.js")  # each after those that it imports
    modules = [Path(__file__).parent / name for name in names]
    source = "".join(module.read_text(encoding="utf-8") for module in modules)
    source = re.sub(r"^import .*\n|^export default .*\n|^export ", "", source, flags=re.MULTILINE)
    return "\n".join([*parts, f'<script type="module">\n{source}</script>'])
