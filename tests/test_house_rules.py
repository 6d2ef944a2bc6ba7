"""The rules themselves: a good notebook passes all of them, a bad one is caught by each."""

import ast
import copy
import re

import pytest

from house_rules import RULES, Notebook
from house_rules import code_rules as code
from house_rules import notation_rules as notation
from house_rules import output_rules as output
from house_rules import text_rules as text
from house_rules.names import Names
from vae_course.admin.notebooks import (
    WIDGET_VIEW,
    bootstrap_source,
    clean,
    repository_address,
    repository_branch,
)

TABLE = """# The notation table

| symbol | variable | meaning | shape |
|---|---|---|---|
| $x$ | `image` | an image | $(B, P)$ |
| $\\log \\sigma^2$ | `log_var` | a log variance | $(B, D)$ |

| symbol | variable | meaning | shape | notebooks |
|---|---|---|---|---|
| $k$, $z$ | `kernel`, `latent` | a kernel; a code | int | 01, 01b |
"""
SOLUTION = "def double(number):\n    return 2 * number"
PLACE = repository_address().removeprefix("https://github.com")
BADGE = (
    "[![Open this notebook in Colab](curve.png)]"
    f"(https://colab.research.google.com/github{PLACE}/blob/{repository_branch()}/notebooks/"
    "00_doubling.ipynb)"
)
FOLD = "<details><summary>{}</summary>\n\n{}\n\n</details>"
PNG = {
    "output_type": "display_data",
    "data": {"image/png": "iVBORw0KGgo=", "text/plain": "<Figure size 600x350 with 1 Axes>"},
    "metadata": {"image/png": {"alt": "A falling curve: the loss over three epochs."}},
}


def markdown(source):
    return {"cell_type": "markdown", "metadata": {}, "source": source}


def python(source, *outputs, tags=()):
    metadata = {"tags": list(tags)} if tags else {}
    return {"cell_type": "code", "metadata": metadata, "source": source, "outputs": list(outputs)}


def stdout(written):
    return {"output_type": "stream", "name": "stdout", "text": written}


@pytest.fixture
def good(tmp_path):
    """A small notebook that keeps every rule; [position] of its cells is used below."""
    (tmp_path / "README.md").write_text(TABLE, encoding="utf-8")
    (tmp_path / "curve.png").write_bytes(b"")
    (tmp_path / "01_tripling.ipynb").touch()
    tripling = "[On](01_tripling.ipynb)."
    setup = f"{bootstrap_source()}\n\nimport math\n\nfrom vae_course import checks, plots"
    cells = [
        markdown(f"# Doubling\n\n{BADGE}\n\nSee [symbols](README.md#the-notation-table)."),  # 0
        python(f"{setup}\n\nplots.use_house_style()", tags=["setup"]),  # 1
        python("SEED = 0  # of every random number"),  # 2
        markdown("What flows where"),  # 3
        python("plots.show(diagrams.autoencoder(), alt=words)", PNG),  # 4
        markdown("## One\n\n**Predict** the loss.\n\n" + FOLD.format("Answer", "About 3.")),  # 5
        python("loss = math.pi\nprint(loss)", stdout("3.14\n"), tags=["nbval-ignore-output"]),  # 6
        python('print("seen")', stdout("seen\n"), PNG),  # 7
        python("assert 3 < loss < 4", tags=["claim"]),  # 8
        markdown("![A falling curve, the loss over epochs.](curve.png) $x$ [up](#One)"),  # 9
        markdown("### Your turn\n\nWrite `double`."),  # 10
        python('def double(number): ...\n\n\nchecks.check("double", double)'),  # 11
        markdown(FOLD.format("Solution", f"```python\n{SOLUTION}\n```")),  # 12
        markdown("## Summary\n\n## Quiz\n\n" + "\n\n".join([FOLD.format("Q", "A")] * 3)),  # 13
        markdown(f"## References\n\n[paper](https://arxiv.org/abs/1312.6114) {tripling}"),  # 14
    ]
    raw = {"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
    number = 0
    for cell in cells:
        if cell["cell_type"] == "code":
            number += 1
            cell["execution_count"] = number
    return Notebook(tmp_path / "00_doubling.ipynb", clean(raw), solutions={"double": SOLUTION})


def source(position, old, new):
    """A change: replace text in the source of one cell."""

    def change(raw):
        cell = raw["cells"][position]
        assert old in cell["source"]
        cell["source"] = cell["source"].replace(old, new)

    return change


def outputs(position, *stored):
    """A change: store these outputs in one cell."""
    return lambda raw: raw["cells"][position].update(outputs=list(stored))


def shown(position, **data):
    return outputs(position, {"output_type": "display_data", "metadata": {}, "data": data})


def no_outputs(raw):
    for cell in raw["cells"]:
        if cell["cell_type"] == "code":
            cell["outputs"] = []


def doubled_cell(position):
    return lambda raw: raw["cells"].insert(position, copy.deepcopy(raw["cells"][position]))


def nine_lines(*positions):
    def change(raw):
        for position in positions:
            raw["cells"][position]["source"] = "\n" * 9 + "x = 1"

    return change


def tags(position, *names):
    return lambda raw: raw["cells"][position]["metadata"].update(tags=list(names))


def a_name_through_two_functions(raw):
    """A cell calls a function that calls one that reads a name; a later cell gives it anew."""
    functions = "def first():\n    return second()\n\n\ndef second():\n    return rate\n\n\nSEED"
    source(2, "SEED", functions)(raw)
    source(6, "loss =", "rate = 1\nloss =")(raw)
    source(7, "print", "first()\nprint")(raw)
    source(11, "checks", "rate = 2\nchecks")(raw)


def dropped_cell(position):
    return lambda raw: raw["cells"].pop(position)


LONG = "\n".join(["x = 1"] * 21)
WIDGET = {WIDGET_VIEW: {"model_id": "1"}, "text/plain": "An explorer."}
ERROR = {"output_type": "error", "ename": "ValueError", "evalue": "", "traceback": []}
WARNING = {"output_type": "stream", "name": "stderr", "text": "a warning\n"}

BREAKS = [
    (code.executed_in_order, dropped_cell(8), "execution count"),
    (code.executed_in_order, lambda raw: raw["cells"][8].update(execution_count=None),
     "count None"),
    (code.code_is_plain_python, source(8, "assert", "%time assert"), "magics"),
    (code.code_is_plain_python, source(1, "import checks, plots", "import *"), "imports \\*"),
    (code.cells_are_short, source(7, "print", LONG + "\nprint"), "over 20 lines in 1 of 5"),
    (code.cells_are_short, source(8, "assert", 2 * LONG + "\nassert"), "has 42 lines"),
    (code.cells_are_short, nine_lines(2, 4, 6, 7), "median"),
    (code.cells_are_short, lambda raw: raw.update(cells=raw["cells"][:1]), "no code cell"),
    (code.lines_are_narrow, source(8, "4", "4  # " + "x" * 80), "line 1 has 103 columns"),
    (code.brackets_are_whole, source(6, "print(loss)", "print(len(\n    loss\n)) # why"),
     "print\\(len\\(loss\\)\\).* join"),
    (code.prose_between_code, lambda raw: [doubled_cell(7)(raw) for _ in range(2)], "fourth code"),
    (code.setup_is_first, source(1, "-q", "-e"), "bootstrap"),
    (code.setup_is_first, dropped_cell(1), "0 cells"),
    (code.setup_is_first, tags(2, "setup"), "2 cells"),
    (code.setup_is_first, source(1, "import math", "SEED = 0"), "holds 'SEED = 0'"),
    (code.settings_have_comments, source(2, "  # of every random number", ""), "without a comment"),
    (code.settings_have_comments, source(6, "loss =", "# again\nSEED ="), "sets SEED again"),
    (code.names_keep_their_meaning, source(11, "checks", "loss = 2\nchecks"), "takes loss"),
    (code.names_keep_their_meaning, source(11, "checks", "for loss in []:\n    checks"),
     "gives it anew"),
    (code.names_keep_their_meaning, a_name_through_two_functions, "takes rate"),
    (code.tags_are_known, tags(7, "clam"), "'clam'"),
    (code.tags_are_known, tags(7, "raises-exception"), "raises"),
    (code.tags_are_known, source(6, "loss", "# NBVAL_IGNORE_OUTPUT\nloss"), "in a comment"),
    (code.claims_are_silent, tags(8), "asserts; move"),
    (code.claims_are_silent, source(8, "assert 3 < loss < 4", "loss"), "asserts nothing"),
    (code.claims_are_silent, source(8, "assert", "print('holds')\nassert"), "speaks"),
    (code.claims_are_silent, outputs(8, stdout("holds")), "shows something"),
    (code.claims_are_silent, tags(8, "claim", "nbval-ignore-output"), "no output to ignore"),
    (code.ignored_output_has_a_claim, dropped_cell(8), "no claim cell"),
    (code.ignored_output_has_a_claim, tags(8), "no claim cell"),
    (code.ignored_output_has_a_claim, source(8, "assert 3 < loss < 4", "assert True"), "no claim"),
    (code.ignored_output_has_a_claim, source(8, "loss", "SEED"), "share no variable"),
    (code.ignored_output_has_a_claim, source(8, "loss", "math.e"), "share no variable|no claim"),
    (code.ignored_output_has_a_claim, source(8, "assert", "def never():\n    assert"), "no claim"),
    (code.ignored_output_has_a_claim, tags(7, "nbval-ignore-output"), "share no variable"),
    (code.ignored_output_has_a_claim, outputs(6), "stores none"),
    (code.ignored_output_has_a_claim, lambda raw: [doubled_cell(7)(raw) for _ in range(4)],
     "next four code cells"),
    (code.one_diagram, outputs(4), "no cell shows a diagram"),
    (code.one_diagram, source(4, "diagrams", "curves"), "no cell shows a diagram"),
    (output.outputs_stored, no_outputs, "no cell stores"),
    (output.outputs_stored, outputs(7), "prints, but"),
    (output.no_error_stored, outputs(7, ERROR), "ValueError"),
    (output.no_stderr_stored, outputs(7, WARNING), "a warning"),
    (output.images_have_alt_text, outputs(7, PNG | {"metadata": {}}), "alt text ''"),
    (output.images_have_alt_text, outputs(7, PNG | {"metadata": {"image/png": {"alt": "loss"}}}),
     "alt text 'loss'"),
    (output.first_screen_has_a_picture, outputs(4), "first five cells"),
    (output.no_widgets_stored, shown(7, **WIDGET), "widget view"),
    (output.no_widgets_stored, shown(7, **{"text/plain": "VBox(children=(Image(value=b''),))"}),
     "bare widget"),
    (output.no_widgets_stored, lambda raw: raw["metadata"].update(widgets={}), "widget state"),
    (output.no_library_reprs, shown(7, **{"text/plain": "[<matplotlib.lines.Line2D>]"}),
     "own text"),
    (output.no_library_reprs, shown(7, **{"text/plain": "<object at 0x7f00aa00bb00>"}), "own text"),
    (output.no_library_reprs, shown(7, **{"text/html": '<table class="dataframe">'}), "own text"),
    (output.no_bare_history, shown(7, **{"text/plain": "History(4 epochs; last: loss 0.1)"}),
     "shows a History"),
    (output.no_machine_path, source(8, "4", "4  # as in /home/me/course"), "/home/me"),
    (output.no_machine_path, outputs(7, stdout("wrote C:\\Users\\me\n")), "Users"),
    (output.no_machine_path, source(9, "$x$", "see /tmp/x"), "/tmp/x"),
    (output.no_registry_host, source(9, "$x$", "https://py" + "pi.org/project/torch"), "package"),
    (output.stored_form, lambda raw: raw["metadata"].update(colab={}), "its metadata"),
    (output.stored_form, lambda raw: raw["cells"][8]["metadata"].update(scrolled=True),
     "cell 9 .* its metadata"),
    (output.stored_form, lambda raw: raw["cells"][8].update(id=raw["cells"][7]["id"]), "its id"),
    (output.stored_form, outputs(7, stdout(" 50%|█████     | 5/10 [00:01<00:01]\n")),
     "its outputs"),
    (output.small_enough, outputs(7, stdout("x" * 1_500_000)), "1.5 MB"),
    (notation.symbols_are_in_the_table, source(9, "$x$", "$x + y_1$"), "uses y;"),
    (notation.symbols_are_in_the_table, source(9, "$x$", r"$\hat x$"), "hat x"),
    (notation.symbols_are_in_the_table, source(9, "$x$", "$$k$$"), "uses k;"),
    (notation.variables_are_those_of_the_table, source(6, "loss =", "x = loss ="), "image `x`"),
    (notation.variables_are_those_of_the_table, source(11, "(number)", "(mu)"), "mean `mu`"),
    (text.headings_in_order, source(0, "# Doubling", "## Doubling"), "found 0"),
    (text.headings_in_order, source(5, "## One", "# One"), "found 2"),
    (text.headings_in_order, source(3, "What", "### What"), "level 3 under one of level 1"),
    (text.headings_in_order, lambda raw: raw["cells"].insert(0, raw["cells"].pop(2)), "first cell"),
    (text.closing_sections, source(13, "Summary", "In short"), '"summary"'),
    (text.closing_sections, source(13, "<details>", "<div>"), "0 folded answers"),
    (text.closing_sections, source(13, "## Quiz", "## Quiz\n\n## Other"), "0 folded answers"),
    (text.links_lead_through_the_course, source(14, "01_tripling", "02_tripling"), "01_tripling"),
    (text.links_resolve, source(0, "README.md", "READYOU.md"), "leads nowhere"),
    (text.links_resolve, source(0, "#the-notation-table", "#The-notation-table"), "no heading"),
    (text.links_resolve, source(9, "#One", "#1-·-One"), "another anchor elsewhere"),
    (text.links_resolve, source(9, "curve.png", "bend.png"), "leads nowhere"),
    (text.links_resolve, source(0, "(curve.png", "(bend.png"), "leads nowhere"),
    (text.links_resolve, source(9, "#One", "#Two"), "no heading"),
    (text.links_resolve, source(14, "arxiv.org", "arxiv"), "no host"),
    (text.links_resolve, source(14, "[paper](https:", "[paper](file:"), "neither relative"),
    (text.links_resolve, source(9, "[up](#One)", '<a href="nowhere.md">up</a>'), "leads nowhere"),
    (text.colab_opens_this_notebook, source(0, "00_doubling", "01_tripling"), "no link"),
    (text.colab_opens_this_notebook, source(0, "/github/", "/github/me/"), "no link"),
    (text.colab_opens_this_notebook, source(0, BADGE, ""), "no link"),
    (text.markdown_pictures, source(9, "A falling curve, the loss over epochs.", "curve"),
     "'curve'"),
    (text.markdown_pictures, source(0, "Open this notebook in Colab", "Colab"), "'Colab'"),
    (text.markdown_pictures, source(9, "$x$", '<img src="curve.png">'), "alt text ''"),
    (text.markdown_pictures, source(9, "curve.png", "data:image/png;base64,iVBORw0KGgo="),
     "base64"),
    (text.markdown_pictures, lambda raw: raw["cells"][9].update(attachments={"a": {}}), "base64"),
    (text.folds_are_well_formed, source(5, "</summary>\n\n", "</summary>\n"), "empty line"),
    (text.folds_are_well_formed, source(5, "</details>", ""), "opens 1 folds and closes 0"),
    (text.folds_are_well_formed, source(5, "<summary>Answer</summary>", ""), "empty line"),
    (text.predictions_have_answers, source(5, "<details>", "<div>"), "prediction"),
    (text.exercises_have_solutions, source(11, 'checks.check("double", double)', "double(2)"),
     "'double' is missing"),
    (text.exercises_have_solutions, source(11, '"double"', '"triple"'), "no exercise of this"),
    (text.exercises_have_solutions, source(12, "2 * number", "number * 2"), "no folded"),
    (text.exercises_have_solutions, source(12, "<details>", "<div>"), "no folded"),
]  # fmt: skip


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_a_good_notebook_passes(rule, good):
    assert list(rule(good)) == []


@pytest.mark.parametrize(("rule", "change", "words"), BREAKS)
def test_a_bad_notebook_is_caught(rule, change, words, good):
    raw = copy.deepcopy(good.raw)
    change(raw)
    problems = list(rule(Notebook(good.path, raw, solutions=good.solutions)))
    assert any(re.search(words, problem) for problem in problems), problems


def test_every_rule_is_broken_once():
    assert {rule for rule, *_ in BREAKS} == set(RULES)


def test_a_companion_has_looser_rules(good):
    """It needs no diagram, no quiz and no first screen, but leads back to its lesson."""
    path = good.path.with_name("00b_halving.ipynb")
    raw = {
        **good.raw,
        "cells": [cell for cell in good.raw["cells"] if PNG not in cell.get("outputs", [])],
    }
    good.path.touch()
    companion = Notebook(path, raw, solutions={})
    assert companion.is_companion and not good.is_companion
    for rule in (code.one_diagram, output.first_screen_has_a_picture):
        assert list(rule(companion)) == []
    problems = list(text.links_lead_through_the_course(companion))
    assert len(problems) == 1 and "00_doubling" in problems[0]
    assert (
        any(
            "00b_halving" in problem
            for problem in text.links_lead_through_the_course(
                Notebook(good.path, good.raw, solutions={})
            )
        )
        is False
    )  # the companion is no file yet
    path.touch()
    (problem,) = text.links_lead_through_the_course(Notebook(good.path, good.raw, solutions={}))
    assert "00b_halving" in problem


@pytest.mark.parametrize(
    ("cell", "taken", "given"),
    [
        ("x = x + y", {"x", "y"}, {"x"}),
        ("x = 1\nprint(x)", set(), {"x"}),
        ("total += step", {"total", "step"}, {"total"}),
        ("found[name] = f(x)", {"found", "name", "f", "x"}, set()),
        ("import math\nmath.pi", {"math"}, set()),
        ("for x, (y, z) in pairs:\n    w = x", {"pairs"}, {"x", "y", "z", "w"}),
        ("with open(path) as file:\n    rows = list(file)", {"path"}, {"file", "rows"}),
        ("squares = [x * x for x in numbers]", {"numbers"}, {"squares"}),
        ("def f(x, *rest, y=z):\n    w = x\n    return w + a + b\nb = 1", {"z", "a"}, {"f", "b"}),
        ("class Net(Module):\n    size = WIDTH", {"Module", "WIDTH"}, {"Net"}),
        ("f = lambda x: x + y", {"y"}, {"f"}),
        ("if (n := count(x)) > limit:\n    print(n)", {"count", "x", "limit"}, {"n"}),
    ],
)
def test_what_a_cell_takes_and_gives(cell, taken, given):
    names = Names(ast.parse(cell))
    assert names.taken - {"print", "open", "list"} == taken
    assert names.given == given


def test_symbols_of_a_formula():
    found = notation.symbols(r"\hat{x} = \mathrm{sigmoid}(\ell_i),\ z \sim \mathcal N(0, \sigma^2)")
    assert found == {r"\hat x", r"\ell", "i", "z", "N", r"\sigma"}


def test_a_row_may_be_for_some_notebooks_only(good):
    raw = copy.deepcopy(good.raw)
    raw["cells"].append(markdown("$k$"))
    path = good.path.with_name("01b_halving.ipynb")
    assert list(notation.symbols_are_in_the_table(Notebook(path, raw, solutions={}))) == []


def test_the_guide_counts_what_a_reader_sees(good):
    assert text.size(good)["cells"] == len(good.cells) - 1  # one claim
    assert text.over_the_guide(good) == []
    raw = copy.deepcopy(good.raw)
    raw["cells"] += [markdown("word " * 40)] * 80
    long = text.over_the_guide(Notebook(good.path, clean(raw), solutions={}))
    assert [re.sub(r"\d+ ", "N ", line, count=1) for line in long] == [
        "N cells (guide: 80)",
        "N words (guide: 3000)",
    ]
