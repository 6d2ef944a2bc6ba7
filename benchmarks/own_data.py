r"""One's own data: what came, what happened. A table of all situations that the tests know.

`python -m benchmarks.own_data` tries each of them now and writes OWN_DATA.md beside this file; it
takes about a minute on two quiet cores.
"""

from __future__ import annotations

import os
import platform
import re
import sys
import tempfile
import traceback
import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))
os.environ.setdefault("OMP_NUM_THREADS", "1")  # the models are small: threads only wait
os.environ.setdefault("TQDM_DISABLE", "1")

from benchmarks import machine  # noqa: E402

TABLE = Path(__file__).with_name("OWN_DATA.md")
HEADER = """# Data and models of one's own

Made by `python -m benchmarks.own_data` on {machine}, from the situations in
`tests/test_own_data.py` and `tests/test_own_use.py`, which hold each of them.

*Right*: what came out was compared with what should. *Refused*: an error that says what came, what
was expected and what to do. {counts}

"""


def situations() -> Iterator[tuple[str, str, bool, object]]:
    r"""Kind, what came, whether it is to be refused, and a function: folder → what happened."""
    import test_own_data as loading
    import test_own_use as using

    for tried in loading.SITUATIONS:
        yield (
            "images",
            tried.came,
            tried.shape is None,
            (lambda tmp, tried=tried: loading.image_situation(tried, tmp)),
        )
    for came in (*loading.TABLES, *loading.REFUSED_TABLES):
        yield (
            "tables",
            came,
            came in loading.REFUSED_TABLES,
            (lambda tmp, came=came: loading.table_situation(came, tmp)),
        )
    for tried in using.USES:
        yield tried.kind, tried.came, tried.refused, tried.happened


def main() -> int:
    warnings.simplefilter("ignore")
    rows, counts = [], Counter()
    for kind, came, refused, act in situations():
        with tempfile.TemporaryDirectory() as folder:
            try:
                said = str(act(Path(folder)))
                what = "refused" if refused else "right"
            except BaseException as error:  # an assertion of pytest's is no Exception
                said = traceback.format_exception_only(error)[-1]
                what = "**failed**"
            said = said.replace(folder, "…").replace(str(ROOT), "…")
        counts[what] += 1
        said = re.sub(r"\s+", " ", said).replace("|", "\\|").replace("<", "&lt;").strip()
        said = said if len(said) <= 240 else said[:239] + "…"
        rows.append(f"| {kind} | {came} | {what} | {said} |")
        print(rows[-1], flush=True)
    said = f"Python {platform.python_version()}, {platform.system()}"
    total = f"{sum(counts.values())} situations: " + ", ".join(
        f"{count} {what}" for what, count in counts.items()
    )
    text = HEADER.format(machine=f"{machine.cores()}, {said}", counts=f"{total}.")
    text += "| kind | what came | | what happened |\n|---|---|---|---|\n" + "\n".join(rows) + "\n"
    TABLE.write_text(text, encoding="utf-8")
    print(f"{total}\nwritten to {TABLE}")
    return int(counts["**failed**"] > 0)


if __name__ == "__main__":
    sys.exit(main())
