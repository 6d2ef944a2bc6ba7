"""The website: accessible, complete in itself, searchable, folded, readable on a phone.

    bash docs/site/build
    python -m pytest -n 0 -m browser tests/browser/test_browser_site.py

VAE_COURSE_SITE names another folder with the built site.
"""

import functools
import http.server
import os
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


@pytest.fixture(scope="module")
def address():
    handler = functools.partial(Quiet, directory=str(SITE))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture(scope="module", params=[1280, 400], ids=["desktop", "phone"])
def page(request):
    """A window that notes what goes wrong and what is asked of other hosts."""
    with window(viewport={"width": request.param, "height": 900}) as opened:
        opened.complaints = []
        opened.on("pageerror", lambda error: opened.complaints.append(str(error)))
        opened.on("request", lambda request: _own(request.url) or _note(opened, request.url))
        opened.on(
            "console",
            lambda line: opened.complaints.append(f"{line.text} {line.location['url']}")
            if line.type == "error"
            else None,
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
    assert "Interactive explorer: two densities" in text and "model_id" not in text
