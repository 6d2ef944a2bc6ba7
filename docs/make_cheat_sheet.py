r"""Write docs/cheat_sheet.md: the summary tables of all chapters on one page.

python docs/make_cheat_sheet.py      # a test keeps the file in step with the notebooks
"""

import re
from pathlib import Path

from vae_course.admin.notebooks import find_notebooks, read_notebook

TARGET = Path(__file__).with_name("cheat_sheet.md")
HEAD = """# The course on two pages

Written by `python docs/make_cheat_sheet.py` from the summaries at the ends of the chapters. The
letters are those of [the notation](../notebooks/README.md); "above" means: in that chapter.
"""


def text() -> str:
    lines = [HEAD]
    for path in find_notebooks():
        cells = read_notebook(path)["cells"]
        prose = "\n\n".join("".join(c["source"]) for c in cells if c["cell_type"] == "markdown")
        table = re.search(r"^## Summary\n+((?:\|.*\n?)+)", prose, re.MULTILINE)
        if table:
            (title,) = re.findall(r"^# (.*)", prose, re.MULTILINE)
            lines += [f"## [{title}](../notebooks/{path.name})\n", table[1].rstrip() + "\n"]
    return "\n".join(lines)


if __name__ == "__main__":
    TARGET.write_text(text(), encoding="utf-8")
    print(f"{TARGET.name}: {text().count('## ')} chapters")
