"""A browser window for pages without a kernel, and the accessibility audit of what it shows."""

import contextlib
from collections.abc import Iterator

from jupyter_browser import FLAGS, PATIENCE, chromium

GRAVE = ("serious", "critical")


_browsers: list = []  # the one that runs: Playwright starts no second one beside it


@contextlib.contextmanager
def window(**options) -> Iterator:
    """Playwright's page; options as its `new_page` takes them. Several may be open."""
    with _browser() as browser:
        page = browser.new_page(**options)
        try:
            page.set_default_timeout(1000 * PATIENCE)
            yield page
        finally:
            page.close()


@contextlib.contextmanager
def _browser() -> Iterator:
    from playwright.sync_api import sync_playwright

    if _browsers:
        yield _browsers[0]
        return
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=FLAGS)
        _browsers.append(browser)
        try:
            yield browser
        finally:
            _browsers.clear()
            browser.close()


def serious(page) -> list[str]:
    """What axe-core finds serious or critical: the rule, how often, and the first place.

    Without its own fetching of style sheets, which looks for their imports in the wrong folder.
    """
    from axe_playwright_python.sync_playwright import Axe

    options = {"preload": False}
    return [
        f"{found['id']} × {len(found['nodes'])}: {found['help']}: {found['nodes'][0]['html'][:200]}"
        for found in Axe().run(page, options=options).response["violations"]
        if found["impact"] in GRAVE
    ]
