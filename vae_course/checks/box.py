r"""The box around a verdict: HTML in a notebook, characters in a terminal and while grading."""

import html
import os
import re
import sys
from collections.abc import Sequence

from vae_course.printing import say

# Mid-tones that stand out on white and on black; the sign in the title says the same.
COLOURS = {"✓": "#009e73", "✗": "#d55e00", "!": "#cc79a7"}


def put(text: str, title: str, paragraphs: Sequence[str], *, example: str = "", done: str = ""):
    r"""Show a box: `text` where only characters can stand, else the same as HTML that wraps.

    title: begins with its sign; done: a line about the chapter, only in the notebook
    """
    if not _in_a_notebook():
        say(text)
        return
    from IPython.display import publish_display_data

    colour = COLOURS[title[0]]
    style = f"border-left:.4em solid {colour};padding:.3em 1em;margin:.3em 0;max-width:48em"
    lines = [f'<div style="{style};overflow-wrap:anywhere"><b>{html.escape(title)}</b>']
    lines += [f'<p style="margin:.4em 0">{_marked(p)}</p>' for p in paragraphs if p]
    if example:
        shown = html.escape(example)
        style = "white-space:pre-wrap;word-break:normal;margin:.4em 0"  # no number is cut in two
        lines.append(f'<pre style="{style}">{shown}</pre>')
    if done:
        lines.append(f'<p style="margin:.4em 0;opacity:.8"><small>{html.escape(done)}</small></p>')
    publish_display_data({"text/plain": text, "text/html": "\n".join([*lines, "</div>"])})


def _marked(text: str) -> str:
    r"""As HTML; what stands between backticks as code."""
    return re.sub("`([^`]+)`", r"<code>\1</code>", html.escape(text))


def _in_a_notebook() -> bool:
    if os.environ.get("NBGRADER_EXECUTION") or "IPython" not in sys.modules:
        return False
    return getattr(sys.modules["IPython"].get_ipython(), "kernel", None) is not None
