r"""Printing where the output's code page may not know "·", "│" or "β"."""

import sys


def say(text: str, *, end: str = "\n") -> None:
    r"""`print`, with "?" for what the output can't show: a pipe on Windows knows little.

    In one write, so that a notebook's kernel never flushes between the text and its end.
    """
    whole = f"{text}{end}"
    try:
        print(whole, end="")
    except UnicodeEncodeError:
        encoding = getattr(sys.stdout, "encoding", None) or "ascii"
        print(whole.encode(encoding, "replace").decode(encoding), end="")
