"""What all tests share. Those that take minutes run only where asked for: pytest -m NAME."""

import pytest

pytest.register_assert_rewrite(
    "check_tools", "fault_tools", "property_tools", "teach_tools", "torch_tools"
)

SLOW = {
    "strangers": "the clinic on eighty more trainings, most of which it was not tuned on (minutes)",
    "processes": "kills trainings, fills their disks, goes on; two processes, a kernel (minutes)",
    "faults": "kills each kind of training fifty times (many minutes)",
    "whole_class": "grades a simulated class of forty, and an instructor's own exercise (minutes)",
    "hub": "starts a JupyterHub with accounts in namespaces of its own (minutes; needs root)",
    "unusual_styles": "grades some eighty full-mark notebooks in unusual style (ten minutes)",
    "every_assignment": "grades three submissions of each assignment (ten minutes)",
    "assignments_full": "every mistake of the catalogue in a graded submission (an hour)",
    "datasets": "runs notebooks on other image sets (minutes)",
    "many_draws": "two hundred draws of every right answer and reference (half an hour)",
}


FAULT = """fault(name, how): the fault that a test makes happen, for benchmarks/faults.py. Both may
hold the test's parameters in braces, as in "cut at {share:.0%}". A test that tries several times
says so with `record_property("tried", n)`, and with ("survived", m) where some did not."""


def pytest_configure(config):
    config.addinivalue_line("markers", " ".join(FAULT.split()))
    for name, text in SLOW.items():
        config.addinivalue_line("markers", f"{name}: {text}")


def pytest_collection_modifyitems(config, items):
    asked = config.option.markexpr or ""
    for item in items:
        for name in SLOW:
            if item.get_closest_marker(name) and name not in asked:
                item.add_marker(pytest.mark.skip(reason=f"{SLOW[name]}; ask with -m {name}"))


@pytest.fixture
def own_folder(tmp_path, monkeypatch):
    """A default cache folder of the test's own, in place of that of whoever runs the tests."""
    from vae_course import files

    default = tmp_path / "default" / "vae_course"
    monkeypatch.delenv("VAE_COURSE_DATA", raising=False)
    monkeypatch.setattr(files, "_default_folder", lambda: default)
    return default


@pytest.fixture
def shell():
    """An IPython shell, as a notebook's kernel has one; what it displays can be captured."""
    from IPython.core.interactiveshell import InteractiveShell

    yield InteractiveShell.instance()
    InteractiveShell.clear_instance()
