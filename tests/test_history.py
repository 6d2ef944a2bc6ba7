"""What a training leaves behind: columns, curves, and a file that survives."""

import math
import os

import pytest

from vae_course.training import History


@pytest.fixture
def history():
    return History(
        [
            {"epoch": 1, "train_loss": 1 / 3, "train_kl": 1e-17, "test_loss": 2.5, "test_kl": 1.0},
            {"epoch": 2, "train_loss": 0.1, "train_kl": math.pi, "test_loss": 2.25, "test_kl": 1.5},
            {"epoch": 3, "train_loss": -7e22, "train_kl": 3.0},
        ]
    )


class TestColumns:
    def test_column_and_last(self, history):
        assert history["test_loss"] == [2.5, 2.25]
        assert history["epoch"] == [1, 2, 3]
        assert history.last == history.rows[2]
        assert len(history) == 3

    def test_unknown_column_lists_the_known(self, history):
        with pytest.raises(KeyError, match=r"no 'val_loss'.*epoch, train_loss, .*test_loss"):
            history["val_loss"]
        with pytest.raises(KeyError, match="not one epoch"):
            History()["test_loss"]

    def test_repr_is_short(self, history):
        assert repr(history) == "History(3 epochs; last: train_loss -7e+22, train_kl 3)"
        assert repr(History(interrupted=True)) == "History(0 epochs, interrupted; last: none)"


class TestCsv:
    def test_round_trip_to_the_last_digit(self, history, tmp_path):
        path = history.to_csv(tmp_path / "runs" / "history.csv")
        again = History.from_csv(path)
        assert again.rows == history.rows
        assert isinstance(again.rows[0]["epoch"], int)

    def test_empty_history(self, tmp_path):
        assert History.from_csv(History().to_csv(tmp_path / "h.csv")).rows == []

    def test_a_crash_leaves_the_earlier_file(self, history, tmp_path, monkeypatch):
        path = history.to_csv(tmp_path / "history.csv")
        before = path.read_bytes()

        def full_disk(*arguments):
            raise OSError("no space left on device")

        monkeypatch.setattr(os, "replace", full_disk)
        with pytest.raises(OSError, match="no space"):
            History([{"epoch": 1, "train_loss": 9.0}]).to_csv(path)
        assert path.read_bytes() == before
        assert list(tmp_path.iterdir()) == [path]  # no temporary file left

    @pytest.mark.parametrize(
        ("text", "words"),
        [
            ("", "no column 'epoch'"),
            ("time,loss\n1,2\n", "no column 'epoch'"),
            ("epoch,loss\n1,2\n2,two\n", r"line 3: .*'two'.*expected one number a column"),
            ("epoch,loss\n1,2,3\n", "line 2: .*expected one number a column"),
        ],
    )
    def test_other_files_are_refused(self, tmp_path, text, words):
        path = tmp_path / "other.csv"
        path.write_text(text)
        with pytest.raises(ValueError, match=words):
            History.from_csv(path)


class TestPlot:
    def lines(self, figure):
        return {line.get_label(): line for line in figure.axes[0].get_lines()}

    def test_train_and_test_differ_in_more_than_colour(self, history):
        figure = history.plot(ylabel="negative ELBO (nats / image)")
        train, test = self.lines(figure).values()
        assert list(self.lines(figure)) == ["train loss", "test loss"]
        assert list(train.get_xdata()) == [1, 2, 3]
        assert list(test.get_ydata())[:2] == [2.5, 2.25]
        assert math.isnan(test.get_ydata()[2])  # this epoch has no test loss
        assert train.get_marker() != test.get_marker()
        assert train.get_linestyle() != test.get_linestyle()
        assert train.get_color() != test.get_color()
        axes = figure.axes[0]
        assert axes.get_ylabel() == "negative ELBO (nats / image)"
        assert axes.get_xlabel().startswith("epoch")
        assert axes.get_legend() is not None

    def test_keys_with_and_without_prefix(self, history):
        assert list(self.lines(history.plot(keys=["kl"]))) == ["train kl", "test kl"]
        assert list(self.lines(history.plot(keys=["test_kl", "loss"]))) == [
            "test kl", "train loss", "test loss",
        ]  # fmt: skip
        with pytest.raises(KeyError, match="no 'nll'"):
            history.plot(keys=["nll"])
