"""Notebooks on other image sets run only where asked for: pytest -m datasets tests/datasets."""

import pytest


def pytest_configure(config):
    config.addinivalue_line("markers", "datasets: runs notebooks on other image sets (minutes)")


def pytest_collection_modifyitems(config, items):
    if "datasets" not in (config.option.markexpr or ""):
        for item in items:
            if item.get_closest_marker("datasets"):
                item.add_marker(pytest.mark.skip(reason="minutes; ask for it with -m datasets"))
