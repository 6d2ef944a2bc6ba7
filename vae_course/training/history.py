r"""What a training leaves behind: the losses of every epoch, to read, plot and keep."""

import csv
import math
from dataclasses import dataclass, field
from pathlib import Path

from vae_course.files import write_rows


@dataclass(repr=False)
class History:
    r"""One row an epoch: {"epoch": 1, "train_loss": 31.2, "test_loss": 29.8, "train_kl": …}.

    The log of a text model counts steps: {"step": 250, "train_loss": 2.6, …}.

    history["test_loss"] is that column, history.last the last row. interrupted says that the
    training was stopped by hand; its unfinished epoch has no row.
    """

    rows: list[dict[str, float]] = field(default_factory=list)
    interrupted: bool = False

    @property
    def columns(self) -> list[str]:
        r"""The names that can be asked for, in order of first appearance."""
        return list(dict.fromkeys(name for row in self.rows for name in row))

    @property
    def last(self) -> dict[str, float]:
        r"""The row of the last completed epoch.

        Raises: IndexError if no epoch was completed.
        """
        if not self.rows:
            raise IndexError("the history is empty: not one epoch was completed")
        return self.rows[-1]

    def __repr__(self) -> str:
        row = self.rows[-1] if self.rows else {}
        last = ", ".join(f"{key} {value:.4g}" for key, value in row.items() if key != "epoch")
        stopped = ", interrupted" if self.interrupted else ""
        return f"History({len(self)} epochs{stopped}; last: {last or 'none'})"

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, name: str) -> list[float]:
        if name not in self.columns:
            known = ", ".join(self.columns) or "nothing: not one epoch was completed"
            raise KeyError(f"no {name!r} in this history; it holds {known}")
        return [row[name] for row in self.rows if name in row]

    def plot(self, ylabel: str = "loss", keys: list[str] | None = None):
        r"""Curves over the epochs; returns the matplotlib Figure.

        keys: columns ("train_kl"), or names without prefix ("kl": train, validation, test); by
        default the loss. Each curve has a colour, a marker and a line style of its own.
        ylabel: say the unit, as in "negative ELBO (nats / image)".
        Raises: KeyError on an unknown name; ValueError if no epoch was completed.
        """
        from matplotlib.ticker import MaxNLocator

        from vae_course.plots import curves

        if not self.rows:
            raise ValueError("nothing to plot: not one epoch was completed")
        series = {}
        for name in self._expanded(["loss"] if keys is None else keys):
            self[name]  # a KeyError that lists the columns
            series[name.replace("_", " ")] = [row.get(name, math.nan) for row in self.rows]
        unit = "epoch" if "epoch" in self.columns else "step"
        figure = curves(self[unit], series, xlabel=unit, ylabel=ylabel)
        figure.axes[0].xaxis.set_major_locator(MaxNLocator(integer=True))
        return figure

    def _expanded(self, keys: list[str]) -> list[str]:
        names = []
        for key in [keys] if isinstance(keys, str) else keys:
            both = [f"{part}_{key}" for part in ("train", "validation", "test")]
            both = [name for name in both if name in self.columns]
            names += both or [key]
        return names

    def to_csv(self, path: str | Path) -> Path:
        r"""Write the rows to a CSV file. A crash halfway leaves the earlier file as it was.

        Raises: OSError if the folder cannot be written.
        """
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_rows(path, self.rows, self.columns or ["epoch"])
        return path

    @classmethod
    def from_csv(cls, path: str | Path) -> "History":
        r"""Read what `to_csv` wrote, to the last digit (`interrupted` is not stored).

        Raises: FileNotFoundError; ValueError if the file is not a history.
        """
        with Path(path).open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            if not {"epoch", "step"} & set(reader.fieldnames or []):
                raise ValueError(
                    f"{path} has no column 'epoch' or 'step'; expected a file of History.to_csv"
                )
            try:
                rows = [
                    {
                        key: int(text) if key in ("epoch", "step") else float(text)
                        for key, text in line.items()
                        if text != ""
                    }
                    for line in reader
                ]
            except (TypeError, ValueError) as error:
                raise ValueError(
                    f"{path}, line {reader.line_num}: {error}; expected one number a column"
                ) from None
        return cls(rows)
