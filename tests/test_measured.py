"""MEASURED.md: what a command printed replaces its own section and no other."""

import pytest

from benchmarks import measured


@pytest.fixture
def table(tmp_path, monkeypatch):
    monkeypatch.setattr(measured, "TABLE", tmp_path / "MEASURED.md")
    scripts = {"first": "print('one ## two')", "second": "print('2')", "bad": "raise SystemExit(3)"}
    commands = {}
    for name, source in scripts.items():
        (tmp_path / f"{name}.py").write_text(source)
        commands[name] = f"python {tmp_path / name}.py"
    monkeypatch.setattr(measured, "COMMANDS", commands)
    return measured.TABLE


def test_a_section_is_replaced_and_the_others_stay(table, tmp_path):
    assert measured.main(["second"]) == 0 and measured.main(["first"]) == 0
    before = measured.sections(table.read_text())
    assert list(before) == ["first", "second"], "in the order of the commands"
    assert "one ## two" in before["first"]
    (tmp_path / "first.py").write_text("print('three')")
    measured.main(["first"])
    after = measured.sections(table.read_text())
    assert "three" in after["first"] and "one" not in after["first"].split("```")[1]
    assert after["second"] == before["second"]


def test_a_command_that_fails_leaves_the_old_section(table, capsys):
    measured.main(["second"])
    before = table.read_text()
    assert measured.main(["bad"]) == 1
    assert table.read_text() == before and "ended with 3" in capsys.readouterr().err


def test_an_unknown_name_is_refused(table, capsys):
    with pytest.raises(SystemExit):
        measured.main(["third"])
    assert "third" in capsys.readouterr().err


def test_every_command_is_a_file_of_the_project():
    for command in measured.COMMANDS.values():
        script = command.split()[2 if " -m " in command else 1]
        path = script if script.endswith(".py") else script.replace(".", "/") + ".py"
        assert (measured.ROOT / path.replace("-m ", "")).exists(), command
