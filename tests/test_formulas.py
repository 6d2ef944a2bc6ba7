"""Formulas of a page as MathML: every formula of the notebooks, and only formulas."""

import re
import xml.etree.ElementTree as ElementTree

import pytest

from vae_course.admin.notebooks import find_notebooks, read_notebook

pytest.importorskip("latex2mathml")
from vae_course.admin.formulas import mathml, with_mathml

CODE = re.compile(r"(?s)```.*?```|`[^`\n]*`")
TEX = re.compile(r"(?s)\$\$(.+?)\$\$|\$(.+?)\$")
NAMESPACE = "{http://www.w3.org/1998/Math/MathML}"


@pytest.mark.parametrize("path", find_notebooks(), ids=lambda path: path.stem)
def test_every_formula_is_understood(path):
    cells = read_notebook(path)["cells"]
    texts = [cell["source"] for cell in cells if cell["cell_type"] == "markdown"]
    found = [pair for text in texts for pair in TEX.findall(CODE.sub("", text))]
    for block, inline in found:
        made = ElementTree.fromstring(mathml(block or inline, block=bool(block)))
        said = "".join(made.itertext())
        assert said.strip() and not set("\\&$") & set(said), f"{block or inline}: {said}"


def test_text_is_set_and_code_is_left_alone():
    page = with_mathml(
        '<h2 id="$a$">for $x &lt; 1$</h2><pre>$HOME/$USER</pre><p>$$a\n= b$$ \\$5</p>'
    )
    assert page.startswith('<h2 id="$a$">for <math alttext="x &lt; 1"')
    assert "<pre>$HOME/$USER</pre>" in page and page.endswith("</math> \\$5</p>")
    assert page.count("<math ") == 2 and 'display="block"' in page


@pytest.mark.parametrize(
    ("tex", "shown"),
    [
        (r"\mathbb E", "𝔼"),
        (r"\mathcal N", "𝒩"),
        (r"\mathcal L", "ℒ"),
        (r"\mathbb R", "ℝ"),
        (r"\mathbf 1", "𝟏"),
        (r"\boldsymbol\mu", "𝝁"),
        (r"\arg\min", "argmin"),
    ],
)
def test_letters_of_another_kind_are_letters_of_their_own(tex, shown):
    assert "".join(ElementTree.fromstring(mathml(tex)).itertext()) == shown


def test_lines_are_aligned():
    tex = r"\begin{aligned}a &= b \\ &= c\end{aligned}"
    table = ElementTree.fromstring(mathml(tex, block=True))
    assert len(list(table.iter(f"{NAMESPACE}mtr"))) == 2


def test_names_of_functions_keep_their_distance_and_indices_their_base():
    space = '<mspace width="0.167em" />'
    assert mathml(r"x \log p").count(space) == 2
    assert space not in mathml(r"\exp(x)") + mathml(r"\log_2 (x)")
