"""Colab's versions are tested only where asked for: pytest -m colab tests/environments."""

import pytest


def pytest_configure(config):
    config.addinivalue_line("markers", "colab: installs Colab's versions, runs all notebooks there")


def pytest_collection_modifyitems(config, items):
    if "colab" not in (config.option.markexpr or ""):
        for item in items:
            if item.get_closest_marker("colab"):
                reason = "installs gigabytes and takes minutes; ask for it with -m colab"
                item.add_marker(pytest.mark.skip(reason=reason))
