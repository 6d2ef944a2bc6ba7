"""axe-core on the notebooks as HTML: nothing that it calls serious or critical.

python -m pytest -n 0 -m browser tests/browser/test_browser_audit.py
"""

import pytest
from audit import serious, window

from vae_course.admin.notebooks import find_notebooks, html_page

pytestmark = pytest.mark.browser
pytest.importorskip("nbconvert")


@pytest.fixture(scope="module")
def page():
    with window() as opened:
        yield opened


@pytest.mark.parametrize("path", find_notebooks(), ids=lambda path: path.stem)
def test_a_notebook_as_html_has_no_serious_violation(path, page, tmp_path):
    file = tmp_path / f"{path.stem}.html"
    html_page(path, file)
    page.goto(file.as_uri(), wait_until="domcontentloaded")
    assert serious(page) == []


def test_what_is_serious_is_found(page):
    page.set_content("<html><body><img src='data:,'><p style='color: #ccc'>pale</p></body></html>")
    found = "\n".join(serious(page))
    for rule in ("image-alt", "html-has-lang", "color-contrast"):
        assert rule in found
