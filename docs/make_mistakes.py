r"""Write docs/mistakes.md: every catalogued mistake with the hint that a student gets.

python docs/make_mistakes.py      # a test keeps the file in step with the catalogues
"""

from itertools import groupby
from pathlib import Path

from vae_course import checks

TARGET = Path(__file__).with_name("mistakes.md")
HEAD = """# The catalogue of mistakes

Written by `python docs/make_mistakes.py` from `vae_course/checks/`. For each exercise: the mistakes
that the checker recognises, alone and in pairs, and the hint that each gets; then the properties
that it tests besides. An answer that is wrong in another way gets a hint made from what its values
have in common (a factor, an offset, a sign, an order, a shape) and from the first property that
fails.
"""


def text() -> str:
    lines = [HEAD]
    for chapter, exercises in groupby(checks.exercises(), key=lambda e: e.chapter):
        lines.append(f"## Chapter {chapter:02d}\n")
        for exercise in exercises:
            lines += [f"### `{exercise.signature}`\n", f"Returns {exercise.returns}.\n"]
            lines += ["| mistake | hint |", "|---|---|"]
            lines += [f"| {m.name} | {_cell(m.hint)} |" for m in exercise.mistakes]
            if exercise.properties:
                lines += ["", "| property | hint if it fails |", "|---|---|"]
                lines += [f"| {p.name} | {_cell(p.hint)} |" for p in exercise.properties]
            lines.append("")
    return "\n".join(lines)


def _cell(hint: str) -> str:
    return hint.replace("|", r"\|").replace("\n", " ")


if __name__ == "__main__":
    TARGET.write_text(text(), encoding="utf-8")
    print(f"{TARGET.name}: {sum(len(e.mistakes) for e in checks.exercises())} mistakes")
