"""House rules for the notation: the table in notebooks/README.md is the only one.

A row holds symbols ($…$), the variable, the meaning and the shape, and may end with the notebooks
that it is for ("02, 02b"); without them it holds everywhere.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from .notebook import FENCED, INLINE_CODE, MATHS, Notebook

# Accents make another symbol of a letter; fonts and words are none.
ACCENTS = ("hat", "tilde", "bar", "overline")
GREEK = (
    "alpha|beta|gamma|delta|epsilon|varepsilon|zeta|eta|theta|kappa|lambda|mu|nu|xi|pi|rho|sigma|"
    "tau|phi|varphi|chi|psi|omega|Gamma|Delta|Theta|Lambda|Sigma|Phi|Psi|Omega|ell"
)
WORDS = re.compile(r"\\(?:text|mathrm|operatorname|mathbf|texttt|begin|end)\*?\{[^{}]*\}")
SYMBOL = re.compile(
    rf"\\(?:{'|'.join(ACCENTS)})\s*\{{?\s*(?:[A-Za-z]|\\(?:{GREEK})\b)"
    rf"|\\(?:{GREEK})(?![A-Za-z])|\\[A-Za-z]+|[A-Za-z]"
)
# What other courses call our variables.
ALIASES = {
    "mu": "mean", "logvar": "log_var", "logsigma": "log_var", "sigma": "std", "eps": "noise",
    "epsilon": "noise", "x_hat": "reconstruction", "recon": "reconstruction", "lr": "learning_rate",
    "z_dim": "latent_dim", "hidden_dim": "hidden", "kld": "kl",
}  # fmt: skip


def symbols(formula: str) -> set[str]:
    r"""The symbols of a formula: letters, Greek letters, and those with an accent, as `\hat x`."""
    formula = WORDS.sub(" ", formula.replace(r"\,", " "))
    formula = re.sub(r"\\(?:mathcal|mathbb|boldsymbol)\s*\{?\s*(\w)\}?", r"\1", formula)
    found = set()
    for token in SYMBOL.findall(formula):
        accent = re.fullmatch(r"\\(\w+)\s*\{?\s*(\\?\w+)", token)
        if accent and accent[1] in ACCENTS:
            found.add(rf"\{accent[1]} {accent[2]}")
        elif not token.startswith("\\") or token[1:] in GREEK.split("|"):
            found.add(token)
    return found


@cache
def table(folder: Path, number: str) -> tuple[frozenset[str], dict[str, str]] | None:
    """The symbols known to notebook `number`, and the variable of each one-letter symbol."""
    path = folder / "README.md"
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    known, variables = set(), {}
    for line in re.findall(r"^\|(.*)\|\s*$", text, re.MULTILINE):
        columns = [column.strip() for column in re.split(r"(?<!\\)\|", line)]
        if "$" not in columns[0]:
            continue
        where = re.findall(r"\d\db?", columns[4]) if len(columns) > 4 else []
        if where and number not in where:
            continue
        formulas = [symbols(formula) for formula in re.findall(r"\$([^$]+)\$", columns[0])]
        known |= set().union(*formulas)
        names = re.findall(r"`(\w+)`", columns[1]) if len(columns) > 1 else []
        if len(names) == len(formulas) and all(len(formula) == 1 for formula in formulas):
            variables |= {formula.pop(): name for formula, name in zip(formulas, names)}
    return (frozenset(known), variables) if known else None


def symbols_are_in_the_table(notebook: Notebook) -> Iterator[str]:
    """A formula uses the symbols of the table in notebooks/README.md, or a row is added there."""
    if (found := table(notebook.path.parent, notebook.number)) is None:
        return
    known, _ = found
    for cell in notebook.markdown:
        text = INLINE_CODE.sub("", FENCED.sub("", cell.source))
        used = set().union(*(symbols(formula) for formula in MATHS.findall(text)), set())
        if unknown := sorted(used - known):
            yield f"{cell} uses {', '.join(unknown)}; the table in notebooks/README.md has no row"


def variables_are_those_of_the_table(notebook: Notebook) -> Iterator[str]:
    """One symbol, one variable: `latent` and not `z`, `log_var` and not `logvar`."""
    found = table(notebook.path.parent, notebook.number)
    variables = {s: name for s, name in (found[1] if found else {}).items() if len(s) == 1}
    for cell in notebook.code:
        bound = {n.id for n in ast.walk(cell.tree) if isinstance(n, ast.Name) and _stored(n)}
        bound |= {n.arg for n in ast.walk(cell.tree) if isinstance(n, ast.arg)}
        for name in sorted(bound):
            wanted = ALIASES.get(name) or variables.get(name, name)
            if wanted != name:
                yield f"{cell} calls {wanted} `{name}`; the table in notebooks/README.md decides"


def _stored(name: ast.Name) -> bool:
    return isinstance(name.ctx, ast.Store)
