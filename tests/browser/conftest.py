"""Browser tests run only where asked for: pytest -m browser tests/browser."""

import importlib.util
import os
from pathlib import Path

import pytest
from jupyter_browser import chromium

NEEDED = ("jupyterlab", "playwright", "axe_playwright_python")


@pytest.fixture(scope="session")
def artefacts(tmp_path_factory):
    """Where pictures and tables are left: the folder that VAE_COURSE_ARTEFACTS names."""
    named = os.environ.get("VAE_COURSE_ARTEFACTS")
    folder = Path(named) if named else tmp_path_factory.mktemp("artefacts")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def pytest_configure(config):
    config.addinivalue_line("markers", "browser: needs JupyterLab, Playwright and Chromium")


def pytest_collection_modifyitems(config, items):
    ours = [item for item in items if item.get_closest_marker("browser")]
    if "browser" not in (config.option.markexpr or ""):
        reason = "a real browser takes a while; ask for it with -m browser"
    elif missing := [n for n in NEEDED if importlib.util.find_spec(n) is None]:
        reason = f"needs {' and '.join(missing)}: pip install {' '.join(missing)}"
    elif chromium() is None:
        reason = "needs Chromium: install it, or let CHROMIUM name one"
    else:
        return
    for item in ours:
        item.add_marker(pytest.mark.skip(reason=reason))
