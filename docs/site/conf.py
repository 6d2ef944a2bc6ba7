"""The course as a website: the stored outputs of the notebooks, nothing is executed.

Explorers that build/frozen holds (`bash docs/site/build --live`) move in their page; in the place
of the others stands their sentence.

    python -m pip install -e ".[site]"
    python -m sphinx -W --keep-going -c docs/site . build/site

The repository itself is the source folder, so every relative link works as it does on GitHub.
MathJax is taken from the folder that MATHJAX names (an unpacked npm package), else from the
network when a page is read. `bash docs/site/build` fetches it: its site asks no other host.
"""

import json
import os
import re
import shutil
import sys
import tomllib
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
FROZEN = REPOSITORY / "build" / "frozen"  # a folder a notebook
sys.path.insert(0, str(REPOSITORY))
ABOUT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]

project = "A course on variational autoencoders"
author = "the authors of the course"
release = ABOUT["version"]
html_title = project
html_show_copyright = html_show_sphinx = False
language = "en"

extensions = ["myst_nb", "sphinx_copybutton"]
include_patterns = [
    *("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "notebooks/README.md", "notebooks/*.ipynb"),
    *("docs/cheat_sheet.md", "docs/mistakes.md", "docs/add_an_exercise.md", "docs/lessons/*.md"),
    *("assignments/README.md", "benchmarks/README.md"),
    *("data/README.md", "data/pretrained/README.md"),
]
root_doc = "README"

nb_execution_mode = "off"
nb_merge_streams = True
nb_code_prompt_show = "Show the code"
nb_code_prompt_hide = "Hide the code"
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 4
myst_links_external_new_tab = False

html_theme = "sphinx_book_theme"
html_static_path = [
    "static",
    *(f"../../vae_course/widgets/{name}.js" for name in ("frozen", "frozen_quiz", "picture")),
]
html_css_files = ["course.css"]
html_js_files = ["search_formulas.js", ("frozen.js", {"type": "module"})]
html_favicon = "static/icon.svg"
html_context = {"default_mode": "auto"}
html_baseurl = os.environ.get("SITE_URL", "")
html_copy_source = html_use_index = False  # there is nothing to look up
html_theme_options = {
    "repository_url": ABOUT["urls"]["Repository"],
    "repository_branch": "main",
    "use_repository_button": True,
    "use_download_button": False,
    "use_fullscreen_button": False,
    "show_navbar_depth": 1,
    "navbar_persistent": [],  # the search field has its place in the side bar
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
}
copybutton_selector = "div.cell_input pre, div.highlight-python pre"
mathjax_path = "mathjax/tex-svg.js"
if "MATHJAX" not in os.environ:
    mathjax_path = "https://cdn.jsdelivr.net/npm/mathjax@3.2.2/es5/tex-svg.js"

# What the README's page leads to, in this order; what is not there yet is left out.
CONTENTS = {
    "Notebooks": ["notebooks/*.ipynb"],
    "To look up": ["docs/cheat_sheet.md", "notebooks/README.md", "docs/mistakes.md"],
    "Teaching": ["docs/lessons/*.md", "docs/add_an_exercise.md", "assignments/README.md"],
    "The project": [
        *("benchmarks/README.md", "data/pretrained/README.md", "data/README.md"),
        *("CONTRIBUTING.md", "CHANGELOG.md"),
    ],
}
LINK = re.compile(r"\]\((?P<file>(?!https?:)[^)#\s]*)(?P<anchor>(?:#[^)\s]*)?)\)")
PICTURES = (".png", ".gif", ".svg")
BADGE = re.compile(r"\[!\[(?P<name>[^\]]*)\]\(https?://[^)]*\)\]\((?P<target>[^)]*)\)")


def contents() -> str:
    """The table of contents, in MyST's words; on GitHub the README does without."""
    blocks = []
    for caption, patterns in CONTENTS.items():
        pages = [p for pattern in patterns for p in sorted(REPOSITORY.glob(pattern))]
        if pages:
            names = [p.relative_to(REPOSITORY).with_suffix("").as_posix() for p in pages]
            lines = ["```{toctree}", ":hidden:", f":caption: {caption}", "", *names, "```"]
            blocks.append("\n".join(lines))
    return "\n\n".join(blocks)


def adapted(app, docname: str, source: list[str]) -> None:
    """The Markdown as Sphinx wants it, where GitHub and JupyterLab are content with less; frozen
    explorers in the place of their sentences.
    """
    from vae_course.admin.notebooks import place_explorers

    path = Path(app.env.doc2path(docname))
    pages = {Path(app.env.doc2path(name)) for name in app.env.found_docs}
    if path.suffix == ".ipynb":
        notebook = json.loads(source[0])
        for cell in notebook["cells"]:
            if cell["cell_type"] == "markdown":
                cell["source"] = prose("".join(cell["source"]), path, pages)
        files = [file.name for file in FROZEN.glob(f"{path.stem}/*.bin")]
        addresses = {name: f"../_static/frozen/{path.stem}/{name}" for name in files}
        source[0] = json.dumps(place_explorers(notebook, addresses))
    else:
        source[0] = prose(source[0], path, pages)
    if docname == root_doc:
        source[0] += f"\n\n{contents()}\n"


def prose(text: str, path: Path, pages: set[Path]) -> str:
    """No picture from another host: the Colab badge becomes a link, with a second one to download
    the notebook; others go. Anchors in lower case, as GitHub has them and JupyterLab not. What is
    no page here is linked in the repository.
    """

    def link(match: re.Match) -> str:
        file, anchor = match["file"], match["anchor"]
        target = (path.parent / file).resolve()
        if file and target.exists() and target not in pages and target.suffix not in PICTURES:
            kind, where = "tree" if target.is_dir() else "blob", target.relative_to(REPOSITORY)
            file = f"{ABOUT['urls']['Repository']}/{kind}/main/{where.as_posix()}"
        return f"]({file}{anchor.lower()})"

    def badge(match: re.Match) -> str:
        if "colab" not in match["target"]:
            return ""
        link = f"[{match['name']}]({match['target']})"
        download = f" · {{download}}`Download it <{path.name}>`" if path.suffix == ".ipynb" else ""
        return link + download

    return LINK.sub(link, BADGE.sub(badge, text))


def described(app, doctree) -> None:
    """Each picture of an output gets the alt text that is stored beside it in the notebook, and the
    line under it, which says the same, the look of a caption.
    """
    from docutils import nodes

    path = Path(app.env.doc2path(app.env.docname))
    if path.suffix != ".ipynb":
        return
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    outputs = [output for cell in cells for output in cell.get("outputs", [])]
    alts = [o["metadata"]["image/png"]["alt"] for o in outputs if "image/png" in o.get("data", {})]
    pictures = [
        picture
        for cell in doctree.findall(nodes.container)
        if "cell_output" in cell["classes"]
        for picture in cell.findall(nodes.image)
    ]
    for picture, alt in zip(pictures, alts, strict=True):
        picture["alt"] = alt
        caption = picture.next_node(nodes.paragraph, ascend=True)  # past its own plain text
        if caption is not None and re.match("(Figure|Animation): ", caption.astext()):
            caption["classes"].append("picture-caption")


def finished(app, exception) -> None:
    """The address without a file name shows the README's page; MathJax travels with the site."""
    if exception or app.builder.format != "html":
        return
    shutil.copyfile(app.outdir / "README.html", app.outdir / "index.html")
    if FROZEN.is_dir():
        besides = shutil.ignore_patterns("*.seconds", "table.md")
        to = app.outdir / "_static" / "frozen"
        shutil.copytree(FROZEN, to, dirs_exist_ok=True, ignore=besides)
    if folder := os.environ.get("MATHJAX"):
        (app.outdir / "_static" / "mathjax").mkdir(exist_ok=True)
        shutil.copyfile(Path(folder) / "es5" / "tex-svg.js", app.outdir / "_static" / mathjax_path)


def setup(app) -> dict:
    app.connect("source-read", adapted)
    app.connect("doctree-read", described)
    app.connect("build-finished", finished)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
