r"""Formulas of a page as MathML: browsers set them by themselves, and nothing is fetched."""

from __future__ import annotations

import html
import re
import unicodedata

# Text between tags, and apart from it what is no text: tags, and elements that show code.
_TAGS = re.compile(r"(?s)(<(pre|code|script|style)\b.*?</\2>|<[^>]*>)")
_TEX = re.compile(r"(?s)(?<!\\)\$\$(?P<block>.+?)\$\$|(?<![\\$])\$(?P<inline>.+?)(?<![\\$])\$")
# For what is not in MathML's core, on which browsers agree.
STYLE = """<style>
mtd[columnalign="left"] { text-align: left; }
mtd[columnalign="right"] { text-align: right; }
menclose[notation="box"] { border: 1px solid; padding: 0.3em; }
math[display="block"] { overflow: auto hidden; padding: 0.2em 0; margin: 0.6em 0; }
</style>"""
# What the converter doesn't know, in words that it does; none changes what is read.
_OTHER_WORDS = {
    r"\arg": r"\operatorname{arg}",
    r"\begin{aligned}": r"\begin{split}",
    r"\end{aligned}": r"\end{split}",
}
# Browsers no longer know letters of another kind by an attribute: these are letters of their own.
_KINDS = ("double-struck", "script", "bold", "bold-italic")
_LETTER = re.compile(rf'<(m[in]) mathvariant="(?P<kind>{"|".join(_KINDS)})">(?P<letter>[^<]+)</\1>')
# Names of functions, with a thin space to their neighbours as TeX has it; not between a base and
# its index, where two elements are counted.
_NAMES = "<mi>(?:log|ln|exp|sin|cos|tanh|det)</mi>"
_BEFORE = r"</m(?:i|n|frac|sup|sub|style)>(?=" + _NAMES + ")"
_AFTER = r"(?<!<msub>)(?<!<msup>)(?<!<msubsup>)" + _NAMES + r"(?=<m(?!o>|o |space))"
_SPACES = re.compile(f"({_BEFORE}|{_AFTER})")
_THIN = '<mspace width="0.167em" />'


def with_mathml(page: str) -> str:
    r"""HTML in which TeX between dollars has become MathML; what code shows stays as it is.

    Raises: ModuleNotFoundError without latex2mathml, which the extra `lab` installs.
    """
    parts = _TAGS.split(page)  # text, tag, name of the element, text, …
    texts = [_TEX.sub(_formula, text) for text in parts[::3]]
    tags = [*parts[1::3], ""]
    return "".join(piece for pair in zip(texts, tags, strict=True) for piece in pair)


def mathml(tex: str, *, block: bool = False) -> str:
    r"""One formula; its TeX stays as the text for those who can't see it set.

    A block may be wider than a phone and then scrolls, so the Tab key reaches it.
    """
    from latex2mathml.converter import convert

    known = tex
    for word, other in _OTHER_WORDS.items():
        ends = "" if word.endswith("}") else r"(?![A-Za-z])"
        known = re.sub(re.escape(word) + ends, lambda _, other=other: other, known)
    made = _LETTER.sub(_letter, convert(known, display="block" if block else "inline"))
    made = _SPACES.sub(rf"\1{_THIN}", made)
    text = html.escape(" ".join(tex.split()))
    reached = ' tabindex="0"' if block else ""
    return made.replace("<math ", f'<math alttext="{text}"{reached} ', 1)


def _formula(match: re.Match) -> str:
    tex = match["block"] or match["inline"]
    return mathml(html.unescape(tex), block=match["block"] is not None)


def _letter(match: re.Match) -> str:
    shown = "".join(_of_kind(match["kind"], letter) for letter in html.unescape(match["letter"]))
    return f'<mi mathvariant="normal">{shown}</mi>'


def _of_kind(kind: str, letter: str) -> str:
    kind = kind.upper() if kind == "double-struck" else kind.upper().replace("-", " ")
    name = re.sub("(LATIN|GREEK|LETTER) ", "", unicodedata.name(letter, ""))
    for full in (f"{kind} {name}", f"MATHEMATICAL {kind} {name}"):
        try:
            return unicodedata.lookup(full)
        except KeyError:
            continue
    return letter
