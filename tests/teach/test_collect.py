"""Files come in: whose they are, which attempt counts, and what is refused."""

import csv
import io
import os
import zipfile
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath

import nbformat
import pytest
import tiny

from vae_course import cli
from vae_course.teach import collect, names
from vae_course.teach.course import Course, TeachError

NAME = "04_kl_loss"


def notebook(text="x = 1", student=None):
    cells = [nbformat.v4.new_code_cell(text)]
    if student:
        cells.append(nbformat.v4.new_code_cell(f'STUDENT = "{student}"  # mine'))
    for index, cell in enumerate(cells):
        cell["id"] = f"c{index}"
    return nbformat.writes(nbformat.v4.new_notebook(cells=cells)).encode()


def archive(path, files, date=(2026, 2, 1, 10, 0, 0)):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as made:
        for name, content in files.items():
            entry, when = (name, date) if isinstance(name, str) else name
            info = zipfile.ZipInfo(entry, when)
            info.compress_type = zipfile.ZIP_DEFLATED
            made.writestr(info, content)
    return path


def outcomes(rows):
    return {str(row.path): row.outcome for row in rows}


@pytest.fixture
def course(tmp_path):
    return Course(tmp_path / "course")


class TestNames:
    @pytest.mark.parametrize(
        "path, student",
        {
            "Anna Berg_1234_assignsubmission_file_/04_kl_loss.ipynb": "anna-berg",
            "Anna Berg_1234_assignsubmission_file_04_kl_loss.ipynb": "anna-berg",
            "Åsa Öst_77_assignsubmission_file/work/mine.ipynb": "asa-ost",
            "Participant_88_assignsubmission_file_/a.ipynb": "participant",
            "berganna_4321_98765_04_kl_loss.ipynb": "berganna",
            "berganna_LATE_4321_98765_04_kl_loss-1.ipynb": "berganna",
            "HW4_aberg_attempt_2026-02-01-10-30-00_04_kl_loss.ipynb": "aberg",
            "submitted/aberg/04_kl_loss/04_kl_loss.ipynb": "aberg",
            "aberg/04_kl_loss.ipynb": "aberg",
            "aberg.ipynb": "aberg",
            "04_kl_loss_aberg (2).ipynb": "aberg",
            "aberg@uni.example-04_kl_loss.ipynb": "aberg@uni.example",
            "04_kl_loss (3).ipynb": None,
            "Cem Yılmaz_5_assignsubmission_file_/04_kl_loss.ipynb": "cem-yilmaz",
            "Søren Łoś_6_assignsubmission_file_/04_kl_loss.ipynb": "soren-los",
            "李明/04_kl_loss.ipynb": "李明",
            "Андрей.ipynb": "андрей",
            "किरण.ipynb": "किरण",
        }.items(),
    )
    def test_forms(self, path, student):
        origin = names.origin(PurePosixPath(path), NAME)
        assert names.identifier(origin.names, {}) == student

    def test_canvas_writes_the_surname_first(self, tmp_path):
        path = tmp_path / "students.csv"
        path.write_text(
            "student,name\nm1,Yılmaz Öztürk\nm2,Ada de la Cruz\nm3,Anna Berg\nm4,Anna B Erg\n",
            "utf-8",
        )
        known = names.mapping(path)
        assert names.identifier(("öztürkyılmaz", "4005"), known) == "m1"
        assert names.identifier(("delacruzada", "4006"), known) == "m2"
        assert names.identifier(("berganna", "4007"), known) == "berganna"  # two could be meant

    def test_late_attempt_and_time_are_read(self):
        late = names.origin(PurePosixPath("b_LATE_4_9_04_kl_loss-2.ipynb"), NAME)
        assert late.late and late.attempt == 2
        named = names.origin(PurePosixPath("H_a_attempt_2026-02-01-10-30-00_x.ipynb"), NAME)
        assert named.time == "2026-02-01-10-30-00"

    @pytest.mark.parametrize("one, other", [("李明", "王明"), ("Андрей", "Андреи"), ("कि", "की"),
                                            ("Γιώργος", "Γιάννης")])  # fmt: skip
    def test_no_two_names_become_one(self, one, other):
        assert names.key(one) != names.key(other)

    def test_semicolons_and_a_spreadsheets_code_page_are_read(self, tmp_path):
        path = tmp_path / "students.csv"
        path.write_bytes("student;name\nm1;Åsa Öst\n".encode("cp1252"))
        assert names.mapping(path)["asa ost"] == "m1"

    def test_mapping_finds_students_by_any_column(self, tmp_path):
        path = tmp_path / "students.csv"
        path.write_text("student,name,moodle\nM1,Åsa Öst,77\nm2,Bo Ek,78\n", "utf-8-sig")
        known = names.mapping(path)
        assert names.identifier(("asa ost",), known) == "m1"
        assert names.identifier(("Somebody", "78"), known) == "m2"
        assert names.identifier(("Bo EK", "file.ipynb"), known) == "m2"

    @pytest.mark.parametrize(
        "text, said",
        [
            ("name\nx\n", "column `student`"),
            ("student\n../x\n", "line 2"),
            ("student,name\na,Bo\nb,bo\n", "two students"),
        ],
    )
    def test_mapping_that_cannot_be_is_refused(self, tmp_path, text, said):
        path = tmp_path / "students.csv"
        path.write_text(text)
        with pytest.raises(TeachError, match=said):
            names.mapping(path)


class TestFolders:
    def test_files_and_folders_by_student(self, course, tmp_path):
        for path in ("in/ada.ipynb", "in/bob/04_kl_loss.ipynb", "in/bob/04_kl_loss/data.csv"):
            (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / path).write_bytes(notebook(path))
        rows = collect.collect(course, NAME, tmp_path / "in")
        assert course.students(NAME) == ["ada", "bob"]
        assert "not a notebook" in outcomes(rows)["bob/04_kl_loss/data.csv"]

    def test_newest_counts_and_earlier_are_kept(self, course, tmp_path):
        files = {
            ("b_4_1_04_kl_loss.ipynb", (2026, 2, 1, 10, 0, 0)): notebook("first"),
            ("b_LATE_4_3_04_kl_loss-2.ipynb", (2026, 2, 3, 10, 0, 0)): notebook("third"),
            ("b_4_2_04_kl_loss-1.ipynb", (2026, 2, 2, 10, 0, 0)): notebook("second"),
        }
        collect.collect(course, NAME, archive(tmp_path / "in.zip", files))
        assert course.notebook("submitted", NAME, "b").read_bytes() == notebook("third")
        earlier = sorted((course.folder / "earlier" / "b" / NAME).iterdir())
        assert [p.read_bytes() for p in earlier] == [notebook("first"), notebook("second")]

    def test_again_changes_nothing_and_an_older_archive_does_not_win(self, course, tmp_path):
        new = archive(tmp_path / "new.zip", {"a.ipynb": notebook("new")})
        old = archive(tmp_path / "old.zip", {"a.ipynb": notebook("old")}, (2025, 1, 1, 0, 0, 0))
        collect.collect(course, NAME, new)
        assert list(outcomes(collect.collect(course, NAME, new)).values()) == ["unchanged"]
        assert "earlier" in outcomes(collect.collect(course, NAME, old))["a.ipynb"]
        assert course.notebook("submitted", NAME, "a").read_bytes() == notebook("new")
        listed = (course.folder / "collected" / f"{NAME}.csv").read_text("utf-8")
        assert [r["outcome"] for r in csv.DictReader(io.StringIO(listed))] == [
            "collected",
            "unchanged",
            "an earlier attempt, kept in earlier/",
        ]

    def test_a_mapping_that_comes_later_takes_the_old_name_back(self, course, tmp_path):
        files = {"Anna Berg_1234_assignsubmission_file_/04_kl_loss.ipynb": notebook()}
        zipped = archive(tmp_path / "in.zip", files)
        collect.collect(course, NAME, zipped)
        assert course.students(NAME) == ["anna-berg"]
        rows = collect.collect(course, NAME, zipped, known={"1234": "aberg7"})
        assert list(outcomes(rows).values()) == ["collected, no longer as anna-berg"]
        assert course.students(NAME) == ["aberg7"]
        kept = (course.folder / "earlier" / "anna-berg" / NAME).iterdir()
        assert [path.read_bytes() for path in kept] == [notebook()]
        rows = collect.collect(course, NAME, zipped, known={"1234": "aberg7"})
        assert list(outcomes(rows).values()) == ["unchanged"]

    def test_two_people_of_one_name_are_not_taken_for_one(self, course, tmp_path):
        files = {
            f"Anna Berg_{number}_assignsubmission_file_/04_kl_loss.ipynb": notebook(number)
            for number in ("1234", "1299")
        }
        zipped = archive(tmp_path / "in.zip", files)
        for outcome in outcomes(collect.collect(course, NAME, zipped)).values():
            assert "Several people are called 'anna-berg'" in outcome and "1234, 1299" in outcome
        assert course.students(NAME) == []
        collect.collect(course, NAME, zipped, known={"1234": "aberg7", "1299": "aberg8"})
        assert course.notebook("submitted", NAME, "aberg7").read_bytes() == notebook("1234")
        assert course.notebook("submitted", NAME, "aberg8").read_bytes() == notebook("1299")

    def test_one_person_twice_stays_one(self, course, tmp_path):
        files = {
            f"berganna_4_{number}_04_kl_loss-{number}.ipynb": notebook(str(number))
            for number in (1, 2)
        }
        collect.collect(course, NAME, archive(tmp_path / "in.zip", files))
        assert course.students(NAME) == ["berganna"]

    def test_notebook_named_for_the_assignment_wins_over_others(self, course, tmp_path):
        (tmp_path / "in/ada").mkdir(parents=True)
        (tmp_path / "in/ada/04_kl_loss.ipynb").write_bytes(notebook("it"))
        (tmp_path / "in/ada/scratch.ipynb").write_bytes(notebook("not it"))
        os.utime(tmp_path / "in/ada/scratch.ipynb", (4e9, 4e9))
        collect.collect(course, NAME, tmp_path / "in")
        assert course.notebook("submitted", NAME, "ada").read_bytes() == notebook("it")

    def test_folders_whose_names_look_alike_are_not_taken_for_one(self, course, tmp_path):
        files = {f"{name}/04_kl_loss.ipynb": notebook(name) for name in ("Müller", "Muller")}
        rows = collect.collect(course, NAME, archive(tmp_path / "in.zip", files))
        assert all("Several people" in row.outcome for row in rows)
        assert course.students(NAME) == []

    def test_a_name_that_the_list_maps_counts_as_the_person(self, course, tmp_path):
        path = archive(tmp_path / "in.zip", {"ada.ipynb": notebook(student="Ada L")})
        (row,) = collect.collect(course, NAME, path, known={"ada": "ada", "ada l": "ada"})
        assert row.notebook_says == "ada"

    def test_identifier_in_the_notebook_is_reported(self, course, tmp_path):
        path = archive(tmp_path / "in.zip", {"ada.ipynb": notebook(student="Bob")})
        assert collect.collect(course, NAME, path)[0].notebook_says == "bob"

    def test_links_are_not_followed(self, course, tmp_path):
        secret = tmp_path / "secret.ipynb"
        secret.write_bytes(notebook("secret"))
        (tmp_path / "in").mkdir()
        try:
            (tmp_path / "in/ada.ipynb").symlink_to(secret)
        except OSError:
            pytest.skip("no symbolic links here")
        rows = collect.collect(course, NAME, tmp_path / "in")
        assert "link" in rows[0].outcome and course.students(NAME) == []

    def test_what_is_neither_folder_nor_archive_is_refused(self, course, tmp_path):
        (tmp_path / "x.zip").write_bytes(b"no archive")
        for where in (tmp_path / "x.zip", tmp_path / "nothing"):
            with pytest.raises(TeachError, match="folder or a zip"):
                collect.collect(course, NAME, where)


class TestArchives:
    def test_paths_that_lead_out_write_nothing_outside(self, course, tmp_path):
        files = {
            "../../evil.ipynb": notebook("evil"),
            "/abs/olute/ada.ipynb": notebook(),
            "..\\..\\win.ipynb": notebook(),
            "C:\\x\\bob.ipynb": notebook(),
        }
        before = set(tmp_path.rglob("*"))
        collect.collect(course, NAME, archive(tmp_path / "in.zip", files))
        made = set(tmp_path.rglob("*")) - before - {tmp_path / "in.zip"}
        assert all(course.folder in [p, *p.parents] for p in made)
        assert not list(tmp_path.rglob("evil*")) and not list(tmp_path.rglob("win*"))

    def test_bomb_is_read_only_up_to_the_limit(self, course, tmp_path, monkeypatch):
        path = archive(tmp_path / "in.zip", {"ada.ipynb": b"0" * (60 * 2**20)})
        assert path.stat().st_size < 2**20
        rows = collect.collect(course, NAME, path)
        assert "larger than" in rows[0].outcome and course.students(NAME) == []
        monkeypatch.setattr(collect, "MOST_BYTES", 30 * 2**20)
        bomb = archive(tmp_path / "b.zip", {f"{i}.ipynb": b"0" * 2**24 for i in range(4)})
        with pytest.raises(TeachError, match="unpacks to more"):
            collect.collect(course, NAME, bomb)

    def test_too_many_files_are_refused(self, course, tmp_path, monkeypatch):
        monkeypatch.setattr(collect, "MOST_FILES", 3)
        path = archive(tmp_path / "in.zip", {f"{i}.ipynb": b"" for i in range(4)})
        with pytest.raises(TeachError, match="4 files"):
            collect.collect(course, NAME, path)

    def test_archives_that_students_hand_in_are_opened_once(self, course, tmp_path):
        inner = archive(tmp_path / "i.zip", {"work/04_kl_loss.ipynb": notebook("inner")})
        name = "Anna Berg_1234_assignsubmission_file_/mine.zip"
        damaged = "Bo Ek_1235_assignsubmission_file_/mine.zip"
        outer = {name: inner.read_bytes(), damaged: b"PK nothing"}
        rows = collect.collect(course, NAME, archive(tmp_path / "o.zip", outer))
        assert course.notebook("submitted", NAME, "anna-berg").read_bytes() == notebook("inner")
        assert any("damaged" in row.outcome for row in rows)

    def test_system_files_are_passed_over(self, course, tmp_path):
        files = {"__MACOSX/._ada.ipynb": b"x", ".ipynb_checkpoints/ada.ipynb": b"x",
                 "ada.ipynb": notebook()}  # fmt: skip
        assert len(collect.collect(course, NAME, archive(tmp_path / "in.zip", files))) == 1

    def test_what_is_no_notebook_is_collected_for_the_report(self, course, tmp_path):
        rows = collect.collect(course, NAME, archive(tmp_path / "in.zip", {"ada.ipynb": b"%PDF"}))
        assert rows[0].outcome == "collected"


def test_the_shipped_configuration_is_what_the_command_writes():
    from vae_course.teach.course import CONFIG

    shipped = Path(__file__).parents[2] / "assignments" / "nbgrader_config.py"
    assert shipped.read_text("utf-8") == CONFIG


def test_times_are_kept(course, tmp_path):
    path = archive(tmp_path / "in.zip", {"ada.ipynb": notebook()}, (2026, 3, 4, 5, 6, 8))
    collect.collect(course, tiny.NAME, path)
    stamp = course.notebook("submitted", tiny.NAME, "ada").with_name("timestamp.txt")
    assert datetime.fromisoformat(stamp.read_text().strip()) == datetime(
        2026, 3, 4, 5, 6, 8, tzinfo=UTC
    )


MOODLE = "Yılmaz Öztürk_1005_assignsubmission_file/04_kl_loss.ipynb"


def test_the_time_of_a_download_makes_nobody_late(course, tmp_path):
    """Moodle and Canvas give the files in an archive the time at which it was made."""
    collect.collect(course, NAME, archive(tmp_path / "in.zip", {MOODLE: notebook()}))
    assert course.notebook("submitted", NAME, "yilmaz-ozturk").exists()
    assert course.handed_in(NAME, "yilmaz-ozturk") is None
    later = archive(tmp_path / "new.zip", {MOODLE: notebook("new")}, (2026, 2, 3, 0, 0, 0))
    older = archive(tmp_path / "old.zip", {MOODLE: notebook("old")}, (2026, 1, 3, 0, 0, 0))
    assert "collected" in outcomes(collect.collect(course, NAME, later))[MOODLE]
    assert "earlier" in outcomes(collect.collect(course, NAME, older))[MOODLE]
    folder = archive(tmp_path / "by-mail.zip", {"yilmaz-ozturk.ipynb": notebook("by mail")},
                     (2026, 2, 4, 0, 0, 0))  # fmt: skip
    collect.collect(course, NAME, folder)
    assert course.handed_in(NAME, "yilmaz-ozturk") == datetime(2026, 2, 4)


def test_a_name_that_the_notebook_writes_in_full_is_the_same_person(course, tmp_path):
    files = {MOODLE: notebook(student="Yılmaz Öztürk")}
    (row,) = collect.collect(course, NAME, archive(tmp_path / "in.zip", files))
    assert row.notebook_says == row.student == "yilmaz-ozturk"


def test_files_that_a_list_hands_over_are_counted(course, tmp_path, capsys):
    """The first collection came before students.csv, as it does in a first week."""
    place = course.notebook("release", NAME)
    place.parent.mkdir(parents=True)
    place.write_bytes(notebook())
    came = archive(tmp_path / "in.zip", {MOODLE: notebook()})
    command = ["teach", "collect", NAME, str(came), "--course", str(course.folder)]
    assert cli.main(command) == 0 and "1 files, 1 students" in capsys.readouterr().out
    (course.folder / "students.csv").write_text("student,name\ns05,Yılmaz Öztürk\n", "utf-8")
    assert cli.main(command) == 0
    printed = capsys.readouterr().out
    assert "1 files, 1 students" in printed and "no longer as yilmaz-ozturk" in printed
    assert "nobody counts as late" in printed
