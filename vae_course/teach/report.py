r"""The class report: which mistakes were made, how often, in which exercise."""

from __future__ import annotations

import html
import io
import statistics
from typing import Any

STATES = {
    "passed": "solved",
    "not attempted": "not attempted",
    "error": "error in the code",
    "wrong": "wrong, not recognised",
}
MOST_MISTAKES = 28  # rows of the picture
_PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>{name}: the class</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>body{{font-family:sans-serif;max-width:60em;margin:2em auto;padding:0 1em;line-height:1.5}}
table{{border-collapse:collapse}}td,th{{border:1px solid #ccc;padding:.3em .6em;
text-align:left;vertical-align:top}}div{{overflow-x:auto}}img{{width:100%;min-width:42em}}
@media (max-width: 40em){{td,th{{padding:.2em .3em;font-size:85%}}}}</style></head><body>
<h1>{name}: the class</h1>
<p>{students} students, {graded} graded. {spread}</p>
<h2>Which mistakes, how often</h2>
<div><img src="{name}-mistakes.png" alt="{alt}"></div>
<p>{alt} A student can have made several.</p>
<div>{mistakes}</div>
<h2>To look at</h2>
<p>Points are as nbgrader gave them. What is said here is for you to judge; it took nothing.</p>
<div>{doubtful}</div>
<h2>To grade by hand</h2>
<p>{waiting} submissions wait for it.</p>
</body></html>
"""


def picture(found: list[dict[str, Any]], students: int, name: str) -> tuple[bytes, str]:
    r"""The misconception map as PNG, and a sentence that says what is on it.

    A column an exercise, a row a mistake; in a field, how many students made it.
    """
    import matplotlib
    import pandas as pd
    import seaborn as sns
    from matplotlib.figure import Figure

    from vae_course.plots.style import HOUSE_STYLE

    states = list(STATES.values())
    counts = pd.DataFrame(found, columns=["exercise", "outcome", "students"]).pivot_table(
        index="outcome", columns="exercise", values="students", aggfunc="sum", fill_value=0
    )
    total = counts.drop(index=states, errors="ignore").sum(axis=1).sort_values(ascending=False)
    counts = counts.reindex([*states, *total.index[:MOST_MISTAKES]], fill_value=0)
    with matplotlib.rc_context(HOUSE_STYLE):
        size = (3.6 + 0.62 * max(counts.shape[1], 4), 2.1 + 0.27 * len(counts))
        figure = Figure(figsize=size, dpi=150, layout="constrained")
        axes = figure.subplots()
        if counts.size:
            sns.heatmap(counts, ax=axes, annot=True, fmt="d", mask=counts == 0, cmap="Blues",
                        vmin=0, vmax=1.25 * max(students, 1), cbar=False)  # fmt: skip
            labels = [exercise.replace(" · ", "\n") for exercise in counts.columns]
            axes.set_xticks(axes.get_xticks(), labels, rotation=40, ha="right")
        axes.axhline(len(states), color="#888888", linewidth=1.2)
        axes.set(xlabel="", ylabel="")
        axes.set_title(f"{name}: what {students} students did", loc="left")
        target = io.BytesIO()
        figure.savefig(target, format="png", metadata={"Software": None})
    named = ", ".join(f"{what} ({count})" for what, count in total[:3].items()) or "none"
    more = len(total) - MOST_MISTAKES
    cut = f" {more} rarer ones are in the table only." if more > 0 else ""
    alt = (
        f"Heat map of {counts.shape[1]} exercises and questions against {len(total)} mistakes of "
        f"{students} students. The most frequent mistakes: {named}.{cut}"
    )
    return target.getvalue(), alt


def page(name: str, rows: list[dict], found: list[dict], alt: str) -> str:
    r"""The report as one HTML page beside its picture."""
    graded = [row for row in rows if row["status"] == "graded"]
    points = sorted(row["points"] for row in graded)
    spread = ""
    if points:
        bonus = sum(row["bonus"] > 0 for row in graded)
        spread = (
            f"Points so far: median {statistics.median(points):g} of {graded[0]['of']:g}, from "
            f"{points[0]:g} to {points[-1]:g}; bonus earned by {bonus}."
        )
    doubtful = [
        {"student": row["student"], "status": row["status"],
         "why": row.get("review") or row.get("notes", "")}
        for row in rows
        if row["status"] != "graded" or row["review"] or row["notes"]
    ]  # fmt: skip
    return _PAGE.format(
        name=html.escape(name), alt=html.escape(alt), students=len(rows), graded=len(graded),
        spread=spread, mistakes=_table([m for m in found if m["hint"]]), doubtful=_table(doubtful),
        waiting=sum(bool(row["pending"]) for row in graded),
    )  # fmt: skip


def _table(rows: list[dict[str, Any]]) -> str:
    import pandas as pd

    with pd.option_context("display.max_colwidth", None):
        return pd.DataFrame(rows).to_html(index=False, border=0) if rows else "<p>None.</p>"
