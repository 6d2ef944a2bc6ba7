"""Texts come whole or with one clear sentence. No test needs the network."""

import hashlib
import sys

import pytest

from fault_tools import assert_one_sentence, files_below
from vae_course import data
from vae_course.data import DataError, load_text, text

FAKE = b"First Citizen:\nBefore we proceed any further, hear me speak.\n" * 3

pytestmark = pytest.mark.usefixtures("own_folder")


@pytest.fixture
def published(tmp_path, monkeypatch):
    """A file on this machine in place of the published one."""
    source = tmp_path / "published.txt"
    source.write_bytes(FAKE)
    monkeypatch.setattr(text, "_SHAKESPEARE", source.as_uri())
    monkeypatch.setattr(text, "_SHAKESPEARE_SHA256", hashlib.sha256(FAKE).hexdigest())
    return source


class TestPythonDocs:
    def test_is_a_long_text_about_python(self):
        docs = load_text()
        assert 400_000 < len(docs) < 700_000 and 80 < len(set(docs)) < 130
        for phrase in ('"for" statement', "__init__", "dictionary"):
            assert phrase in docs
        assert docs == load_text("python-docs")

    def test_order_does_not_depend_on_the_dictionary(self, monkeypatch):
        from pydoc_data import topics

        docs = load_text()
        monkeypatch.setattr(topics, "topics", dict(reversed(topics.topics.items())))
        assert load_text() == docs

    def test_python_without_it_says_so(self, monkeypatch):
        monkeypatch.setitem(sys.modules, "pydoc_data.topics", None)
        with pytest.raises(DataError) as error:
            load_text()
        assert_one_sentence(error, "pydoc_data.topics", "text file of your own")


class TestShakespeare:
    def test_downloads_once(self, published, own_folder, capsys):
        assert load_text("shakespeare") == FAKE.decode()
        assert "Downloading shakespeare" in capsys.readouterr().out
        published.unlink()
        assert load_text("shakespeare") == FAKE.decode()
        assert capsys.readouterr().out == ""
        assert files_below(own_folder) == ["shakespeare/input.txt"]

    def test_a_damaged_copy_is_replaced(self, published, tmp_path):
        copy = tmp_path / "shakespeare" / "input.txt"
        copy.parent.mkdir()
        copy.write_bytes(FAKE[:-1])
        assert load_text("shakespeare", folder=tmp_path) == FAKE.decode()
        assert copy.read_bytes() == FAKE

    def test_another_text_is_refused_and_nothing_stored(self, published, own_folder):
        published.write_bytes(FAKE + b"!")
        with pytest.raises(DataError) as error:
            load_text("shakespeare")
        assert_one_sentence(error, "SHA-256 differs", "load_text('python-docs')")
        assert files_below(own_folder) == []

    def test_no_network(self, published, own_folder):
        published.unlink()
        with pytest.raises(DataError) as error:
            load_text("shakespeare")
        assert_one_sentence(error, "when you are online", own_folder, "load_text('python-docs')")

    def test_named_folder_that_does_not_exist_is_not_made(self, published, tmp_path, monkeypatch):
        monkeypatch.setenv("VAE_COURSE_DATA", str(tmp_path / "mistyped"))
        with pytest.raises(DataError) as error:
            load_text("shakespeare")
        assert_one_sentence(error, "does not exist", "VAE_COURSE_DATA")
        assert not (tmp_path / "mistyped").exists()

    def test_the_published_text_is_known_by_its_checksum(self):
        """1,115,394 characters; the same digest as the text that published losses belong to."""
        assert text._SHAKESPEARE_SHA256.startswith("86c4e6aa9db7c042ec79f339dcb96d42")


class TestOwnFile:
    def test_utf_8_with_and_without_mark(self, tmp_path):
        path = tmp_path / "mine.txt"
        for encoding in ("utf-8", "utf-8-sig"):
            path.write_text("Größe\nzwei", encoding=encoding)
            assert load_text(path) == load_text(str(path)) == "Größe\nzwei"

    def test_another_encoding_and_empty_are_explained(self, tmp_path):
        path = tmp_path / "mine.txt"
        path.write_bytes("Größe".encode("latin-1"))
        with pytest.raises(DataError) as error:
            load_text(path)
        assert_one_sentence(error, path, "UTF-8", "byte 2")
        path.write_text(" \n")
        with pytest.raises(DataError) as error:
            load_text(path)
        assert_one_sentence(error, path, "holds no text")

    def test_neither_set_nor_file(self):
        with pytest.raises(ValueError, match=r"no file 'shakespear'.*Did you mean 'shakespeare'"):
            load_text("shakespear")


def test_data_hands_on_the_same_function():
    assert data.load_text.__defaults__ == text.load_text.__defaults__
    assert load_text("python-docs") == text.load_text("python-docs")
