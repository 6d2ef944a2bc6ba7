"""The website: accessible, complete in itself, searchable, folded, readable on a phone.

    bash docs/site/build
    python -m pytest -n 0 -m browser tests/browser/test_browser_site.py

VAE_COURSE_SITE names another folder with the built site.
"""

import contextlib
import functools
import http.server
import os
import re
import threading
from pathlib import Path

import pytest
from audit import serious, window

pytestmark = pytest.mark.browser
SITE = Path(os.environ.get("VAE_COURSE_SITE", Path(__file__).parents[2] / "build" / "site"))
FILES = [file.relative_to(SITE) for file in SITE.rglob("*.html")]
PAGES = sorted(file.as_posix() for file in FILES if file.parts[0] != "_static")  # pieces of pages
NOTEBOOK = "notebooks/04_kl_loss.html"
if not PAGES:
    pytestmark = [pytestmark, pytest.mark.skip(reason="no site there: bash docs/site/build")]


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_arguments) -> None:
        pass


@contextlib.contextmanager
def served(folder):
    handler = functools.partial(Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture(scope="module")
def address():
    with served(SITE) as host:
        yield host


WINDOWS = {"desktop": (1280, "light"), "dark": (1280, "dark"), "phone": (390, "light")}


@pytest.fixture(scope="module", params=WINDOWS.values(), ids=WINDOWS)
def page(request):
    """A window that notes what goes wrong and what is asked of other hosts."""
    width, scheme = request.param
    with window(viewport={"width": width, "height": 900}, color_scheme=scheme) as opened:
        opened.complaints = []
        opened.on("pageerror", lambda error: opened.complaints.append(str(error)))
        opened.on("request", lambda request: _own(request.url) or _note(opened, request.url))
        opened.on(
            "console",
            lambda line: (
                opened.complaints.append(f"{line.text} {line.location['url']}")
                if line.type == "error"
                else None
            ),
        )
        yield opened
        assert opened.complaints == []


def _own(url: str) -> bool:
    return url.startswith(("http://127.0.0.1:", "data:", "blob:"))


def _note(page, url: str) -> None:
    page.complaints.append(f"asks another host: {url}")


@pytest.mark.parametrize("name", PAGES)
def test_a_page_has_no_serious_violation_and_fits(name, page, address):
    page.goto(f"{address}/{name}")
    if page.viewport_size["width"] > 1000 or name == NOTEBOOK:  # the same words on a phone
        assert serious(page) == []
    wide = page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
    assert wide <= 0, "the page scrolls sideways"
    for picture in page.locator("article img").all():
        assert len(picture.get_attribute("alt")) > 20


def test_the_formulas_are_set(page, address):
    page.goto(f"{address}/{NOTEBOOK}")
    page.wait_for_selector("mjx-container svg")
    # What a screen reader gets of a formula: MathML, which MathJax puts beside the picture of it.
    page.wait_for_selector("mjx-container math", state="attached")


def test_the_search_finds_a_notebook(page, address):
    page.goto(f"{address}/search.html?q=posterior+collapse")
    link = page.locator("#search-results a").first
    link.wait_for()
    assert "KL loss" in page.locator("#search-results").inner_text()


def test_the_search_shows_formulas_as_text(page, address):
    page.goto(f"{address}/search.html?q=standard+deviation")
    page.locator("#search-results p.context").first.wait_for()
    found = page.locator("#search-results p.context").all_inner_texts()
    assert found and not any(re.search(r"\\[a-zA-Z(]", text) for text in found), found
    read = page.evaluate(
        r"formulaAsText('q(z \\mid x) = \\mathcal N(\\mu, \\sigma^2), \\frac{1}{2}\\hat{x}')"
    )
    assert read == "q(z | x) = N(μ, σ²), (1)/(2)x\u0302"


def test_a_notebook_can_be_downloaded_and_leads_on(page, address):
    page.goto(f"{address}/{NOTEBOOK}")
    with page.expect_download() as waiting:
        page.get_by_role("link", name="Download it").click()
    assert waiting.value.suggested_filename == "04_kl_loss.ipynb"
    for direction in ("left-prev", "right-next"):
        assert page.locator(f"a.{direction}").count() == 1


def test_code_does_not_end_beyond_the_edge(page, address):
    page.goto(f"{address}/{NOTEBOOK}")
    if page.viewport_size["width"] < 640:
        cut = page.evaluate(
            """[...document.querySelectorAll('div.cell_input pre')]
            .filter(pre => pre.scrollWidth > pre.clientWidth + 1).length"""
        )
        assert cut == 0
        assert page.locator("p.picture-caption").count() > 5
        wide = page.evaluate(
            """[...document.querySelectorAll('p.picture-caption')]
            .filter(line => line.scrollWidth > line.clientWidth + 1).length"""
        )
        assert wide == 0


def test_claims_are_left_out_and_the_set_up_is_folded(page, address):
    page.goto(f"{address}/{NOTEBOOK}")
    code = page.locator("div.cell_input")
    assert not any(text.startswith("assert ") for text in code.all_text_contents())
    setup = page.locator("details", has=page.locator("text=find_spec")).first
    assert setup.count() == 1 and setup.get_attribute("open") is None


def test_solutions_are_folded_and_open_by_keyboard(page, address):
    page.goto(f"{address}/{NOTEBOOK}")
    assert page.locator("details").count() > 5
    assert page.locator("details[open]").count() == 0
    solution = page.locator("details:has(pre)").first
    code = solution.locator("pre").first
    assert not code.is_visible()
    solution.locator("summary").press("Enter")
    code.wait_for(state="visible")


def test_explorers_leave_their_sentence_and_figure(page, address):
    page.goto(f"{address}/{NOTEBOOK}")
    text = page.locator("article").inner_text()
    assert "model_id" not in text
    if "data-from" not in (SITE / NOTEBOOK).read_text(encoding="utf-8"):  # else it moves
        assert "Interactive explorer: two densities" in text
