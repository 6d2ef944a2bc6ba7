r"""The class report: which mistakes were made, how often, in which exercise."""

from __future__ import annotations

import html
import io
import statistics
from collections import Counter
from typing import Any

from .scores import STATES

MOST_MISTAKES = 28  # rows of the picture


def picture(
    outcomes: dict[str, dict[str, Counter]], students: int, name: str
) -> tuple[bytes, str]:
    r"""The misconception map as PNG, and a sentence that says what is on it.

    A column an exercise, a row a mistake; in a field, how many students made it.
    """
    import matplotlib
    import numpy as np
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    from vae_course.plots.style import HOUSE_STYLE

    total: Counter = Counter()
    for counts in outcomes.values():
        total.update(counts["mistakes"])
    shown = [mistake for mistake, _ in total.most_common(MOST_MISTAKES)]
    columns = list(outcomes)
    rows = [*STATES, *shown]
    field = np.array(
        [
            [outcomes[c]["states"][r] + outcomes[c]["mistakes"][r] for c in columns] or [0]
            for r in rows
        ]
    )
    with matplotlib.rc_context(HOUSE_STYLE):
        size = (3.6 + 0.62 * max(len(columns), 4), 2.1 + 0.27 * len(rows))
        figure = Figure(figsize=size, dpi=150, layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.subplots()
        axes.imshow(field, aspect="auto", cmap="Blues", vmin=0, vmax=max(students, 1) * 1.25)
        for (row, column), count in np.ndenumerate(field):
            if count:
                colour = "white" if count > 0.75 * max(students, 1) else "#222222"
                axes.text(column, row, str(count), ha="center", va="center", color=colour)
        axes.set_yticks(range(len(rows)), rows)
        labels = [c.replace(" · ", "\n") for c in columns] or [""]
        axes.set_xticks(range(len(labels)), labels, rotation=40, ha="right")
        axes.axhline(len(STATES) - 0.5, color="#888888", linewidth=1.2)
        axes.grid(False)
        axes.tick_params(length=0)
        axes.set_title(f"{name}: what {students} students did", loc="left")
        target = io.BytesIO()
        figure.savefig(target, format="png", metadata={"Software": None})
    most = total.most_common(3)
    named = ", ".join(f"{mistake} ({count})" for mistake, count in most) or "none"
    more = len(total) - len(shown)
    cut = f" {more} rarer ones are in the table only." if more > 0 else ""
    alt = (
        f"Heat map of {len(columns)} exercises and questions against {len(total)} mistakes of "
        f"{students} students. The most frequent mistakes: {named}.{cut}"
    )
    return target.getvalue(), alt


def page(
    name: str, rows: list[dict[str, Any]], mistakes: list[dict[str, Any]], alt: str
) -> str:
    r"""The report as one HTML page beside its picture."""
    graded = [row for row in rows if row["status"] == "graded"]
    points = sorted(row["points"] for row in graded)
    lines = [
        "<!DOCTYPE html>",
        f'<html lang="en"><head><meta charset="utf-8"><title>{_text(name)}: the class</title>',
        "<style>body{font-family:sans-serif;max-width:60em;margin:2em auto;line-height:1.5}",
        "table{border-collapse:collapse}td,th{border:1px solid #ccc;padding:.3em .6em;",
        "text-align:left;vertical-align:top}img{max-width:100%}</style></head><body>",
        f"<h1>{_text(name)}: the class</h1>",
        f"<p>{len(rows)} students, {len(graded)} graded. {_spread(points, graded)}</p>",
        "<h2>Which mistakes, how often</h2>",
        f'<img src="{_text(name)}-mistakes.png" alt="{_text(alt)}">',
        f"<p>{_text(alt)} A student can have made several.</p>",
        _table(
            ["exercise", "mistake", "students", "what the student reads"],
            [
                [m["exercise"], m["outcome"], m["students"], m["hint"]]
                for m in mistakes
                if m["outcome"] not in STATES
            ],
        ),
        "<h2>To look at</h2>",
        _table(
            ["student", "status", "why"],
            [
                [row["student"], row["status"], row.get("review", "") or row.get("notes", "")]
                for row in rows
                if row["status"] != "graded" or row.get("review") or row.get("notes")
            ],
        ),
        "<h2>To grade by hand</h2>",
        f"<p>{sum(bool(row.get('pending')) for row in rows)} submissions wait for it.</p>",
        "</body></html>",
    ]
    return "\n".join(lines) + "\n"


def _spread(points: list[float], graded: list[dict[str, Any]]) -> str:
    if not points:
        return ""
    most = graded[0]["of"]
    middle = statistics.median(points)
    pending = any(row["pending"] for row in graded)
    so_far = " so far, answers to be graded by hand not counted" if pending else ""
    return (
        f"Points{so_far}: median {middle:g} of {most:g}, from {points[0]:g} to {points[-1]:g}; "
        f"bonus earned by {sum(row['bonus'] > 0 for row in graded)}."
    )


def _table(head: list[str], rows: list[list[Any]]) -> str:
    if not rows:
        return "<p>None.</p>"
    first = "".join(f"<th>{_text(cell)}</th>" for cell in head)
    body = "\n".join(
        "<tr>" + "".join(f"<td>{_text(cell)}</td>" for cell in row) + "</tr>" for row in rows
    )
    return f"<table><tr>{first}</tr>\n{body}</table>"


def _text(value: Any) -> str:
    return html.escape(str(value))
