r"""Tables of your own: a .csv file or a pandas DataFrame, as rows that a model can take."""

from __future__ import annotations

import csv
import dataclasses
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from vae_course import require
from vae_course.data.splits import split_rows
from vae_course.files import DataError, own_path

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Column", "TableData", "load_table"]

_MOST_CATEGORIES = 50
_LISTED = 5


@dataclasses.dataclass(frozen=True)
class Column:
    r"""One column: "number" (standardised), "category" (a code 0, 1, …) or "count" (as it is).

    mean, std: of the training rows, for a number; categories: their names, for a category
    """

    name: str
    kind: str
    mean: float = 0.0
    std: float = 1.0
    categories: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class TableData:
    r"""A table in memory, split into training, validation and test rows.

    train_rows, validation_rows, test_rows: (rows, columns), float32; numbers have mean 0 and
        standard deviation 1 over the training rows, categories are codes, counts are as they came
    train_labels, validation_labels, test_labels: (rows,), int64, an index into class_names
    columns: what each column is, in the order of the rows' columns
    notes: what the loader did that you should know
    """

    name: str
    train_rows: Tensor
    validation_rows: Tensor
    test_rows: Tensor
    train_labels: Tensor
    validation_labels: Tensor
    test_labels: Tensor
    columns: tuple[Column, ...]
    class_names: tuple[str, ...]
    source: str
    notes: tuple[str, ...] = ()

    def restore(self, rows: Tensor) -> pd.DataFrame:
        r"""Rows in the table's own units and names. Shapes: (N, columns) → a DataFrame

        Raises: ValueError if there is another number of columns.
        """
        import pandas as pd

        rows = rows.detach().cpu()
        if rows.dim() != 2 or rows.shape[1] != len(self.columns):
            raise ValueError(
                f"rows have shape {tuple(rows.shape)}; expected (N, {len(self.columns)})"
            )
        restored = {}
        for values, column in zip(rows.T, self.columns, strict=True):
            if column.kind == "category":
                codes = values.round().long().clamp(0, len(column.categories) - 1)
                restored[column.name] = [column.categories[code] for code in codes]
            elif column.kind == "count":
                restored[column.name] = values.round().clamp(min=0).long().numpy()
            else:
                restored[column.name] = (values.double() * column.std + column.mean).numpy()
        return pd.DataFrame(restored)

    def __repr__(self) -> str:
        kinds = [column.kind for column in self.columns]
        many = {"number": "numbers", "category": "categories", "count": "counts"}
        listed = ", ".join(f"{kinds.count(k)} {n}" for k, n in many.items() if k in kinds)
        lines = [
            f"TableData({self.name!r}: {len(self.train_rows):,} training, "
            f"{len(self.validation_rows):,} validation and {len(self.test_rows):,} test rows of "
            f"{len(kinds)} columns ({listed}), {len(self.class_names)} "
            f"class{'es' * (len(self.class_names) != 1)}; {self.source})"
        ]
        return "\n".join(lines + [f"  note: {note}" for note in self.notes[:3]])


def load_table(
    source: str | os.PathLike[str] | pd.DataFrame | Mapping | np.ndarray,
    *,
    label: str | None = None,
    drop: Sequence[str] = (),
    categories: Sequence[str] = (),
    counts: Sequence[str] = (),
    group: str | None = None,
    missing: str = "refuse",
    validation: float = 0.1,
    test: float = 0.1,
    seed: int = 0,
    name: str | None = None,
) -> TableData:
    r"""Load a table and split its rows by seed; equal rows stay in one part.

    A .csv or .tsv file in UTF-8 (comma, semicolon or tab; a decimal comma is recognised), a
    pandas DataFrame, or what pandas makes one of. Texts and truth values become categories,
    numbers are standardised by mean and standard deviation of the training rows alone.

    label: the column that holds the classes; it is taken out of the rows
    drop: columns to leave out, such as names and row numbers
    categories, counts: columns of whole numbers that are codes of categories, or counts
    group: a column that says which rows belong together (a person's); left out of the rows
    missing: "refuse" a table with missing values, or "drop" their rows
    validation, test: shares of the rows
    Raises: DataError, with what to do, on a file or a column that won't do; ValueError, TypeError
        on the other arguments.
    """
    import pandas as pd

    if missing not in ("refuse", "drop"):
        raise ValueError(f"missing is {missing!r}; expected 'refuse' or 'drop'")
    said, notes = "a table in memory", []
    if isinstance(source, str | os.PathLike):
        path = own_path(source)
        table, said, name = _read(path), str(path), name or path.stem
    elif isinstance(source, Tensor):
        table = pd.DataFrame(source.detach().cpu().numpy())
    else:
        try:
            table = pd.DataFrame(source)
        except (ValueError, TypeError):
            raise TypeError(
                f"source is {require.kind(source)}; expected a path of a .csv or a pandas DataFrame"
            ) from None
    table = table.rename(columns=str)
    for what, names in (
        ("label", [label] * (label is not None)), ("group", [group] * (group is not None)),
        ("drop", drop), ("categories", categories), ("counts", counts),
    ):  # fmt: skip
        if isinstance(names, str):
            raise TypeError(f"{what} is a text; expected a list of columns: [{names!r}]")
        unknown = [column for column in names if column not in table.columns]
        if unknown:
            listed = ", ".join(map(repr, table.columns[:20]))
            raise DataError(f"{said} has no column {unknown[0]!r} ({what}); it has {listed}.")
    twice = table.columns[table.columns.duplicated()].tolist()
    if twice:
        raise DataError(f"{said} has two columns named {twice[0]!r}: rename one of them.")
    table = table.drop(columns=list(drop)).reset_index(drop=True)
    table = table.replace([np.inf, -np.inf], np.nan) if missing == "drop" else table
    gaps = table.isna()
    if gaps.any(axis=None):
        if missing == "refuse":
            raise DataError(f"{said} has missing values: {_gaps(gaps)}. {_MEND}")
        notes.append(f"{int(gaps.any(axis=1).sum()):,} of {len(table):,} rows with gaps left out")
        table = table[~gaps.any(axis=1)].reset_index(drop=True)
    if not len(table):
        raise DataError(f"{said} has no rows left.")
    class_names, labels = ("all",), torch.zeros(len(table), dtype=torch.int64)
    if label is not None:
        codes, values = pd.factorize(table[label], sort=True)
        class_names, labels = tuple(map(str, values)), torch.from_numpy(codes.astype(np.int64))
    together = table.drop(columns=[label] if label else [])
    codes = table[group] if group else pd.util.hash_pandas_object(together, index=False)
    groups = torch.from_numpy(pd.factorize(codes)[0].astype(np.int64))
    if group is None and len(groups.unique()) < len(table):
        equal = len(table) - len(groups.unique())
        notes.append(f"{equal:,} rows are copies of another row; copies were kept together")
    table = table.drop(columns=[column for column in (label, group) if column is not None])
    if not len(table.columns):
        raise DataError(f"{said} has no columns left.")
    split = split_rows(
        len(table), validation=validation, test=test, seed=seed, labels=labels, groups=groups,
        what="rows",
    )  # fmt: skip
    columns, values = [], []
    for column in table.columns:
        described, array = _column(
            table[column], said, split.train.numpy(), column in categories, column in counts
        )
        columns.append(described)
        values.append(array)
        if described.kind == "number":
            training = array[split.train.numpy()]
            if training.min() == training.max():
                notes.append(f"column {column!r} is constant and says nothing")
            elif np.array_equal(np.diff(table[column].to_numpy()), np.ones(len(table) - 1)):
                notes.append(f"column {column!r} counts the rows: drop=[{column!r}]?")
    rows = torch.from_numpy(np.stack(values, axis=1).astype(np.float32))
    parts = {"train": split.train, "validation": split.validation, "test": split.test}
    return TableData(
        name=name or "own table",
        **{f"{part}_rows": rows[chosen] for part, chosen in parts.items()},
        **{f"{part}_labels": labels[chosen] for part, chosen in parts.items()},
        columns=tuple(columns),
        class_names=class_names,
        source=f"own table, {said}",
        notes=tuple(notes),
    )


_MEND = "Fill them in, or leave these rows out with missing='drop'."


def _read(path: Path) -> pd.DataFrame:
    r"""Raises: DataError if it is no table in UTF-8."""
    import pandas as pd

    endings = [suffix.lower() for suffix in path.suffixes]
    if endings and endings[-1] in (".xlsx", ".xls", ".ods"):
        raise DataError(f"{path} is a spreadsheet: save the sheet as CSV (UTF-8) first.")
    if endings and endings[-1] in (".npy", ".npz"):
        raise DataError(f"{path} is an array: load_table(np.load(path)), or load_array.")
    if path.is_dir():
        raise DataError(f"{path} is a folder: expected a .csv file.")
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            head = file.read(65536)
        mark = _separator(head, path)
        table = pd.read_csv(path, sep=mark, encoding="utf-8-sig", skipinitialspace=True)
        if mark in (";", "\t") and any(map(_decimal_comma, (table[c] for c in table))):
            table = pd.read_csv(
                path, sep=mark, encoding="utf-8-sig", decimal=",", skipinitialspace=True
            )
    except FileNotFoundError:
        raise DataError(f"{path} is not there: check the path.") from None
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path} is not in UTF-8 (byte {error.start}): save it as CSV UTF-8, or pass "
            "load_table(pandas.read_csv(path, encoding='cp1252'))."
        ) from None
    except (OSError, ValueError, csv.Error) as error:
        raise DataError(f"{path} can't be read as a table ({str(error).strip()[:100]}).") from None
    numeric = [column for column in table.columns if _is_number(column)]
    if len(numeric) * 2 > len(table.columns):
        raise DataError(
            f"The first line of {path} holds numbers ({', '.join(map(str, numeric[:3]))}, …) and "
            "no names of columns: write names there, or pass "
            "load_table(pandas.read_csv(path, header=None))."
        )
    return table


def _separator(head: str, path: Path) -> str:
    lines = head.splitlines()[:20]
    if not "".join(lines).strip():
        raise DataError(f"{path} is empty.")
    counts = {mark: lines[0].count(mark) for mark in (",", ";", "\t")}
    return max(counts, key=lambda mark: counts[mark]) if any(counts.values()) else ","


def _decimal_comma(column: pd.Series) -> bool:
    import pandas as pd

    if pd.api.types.is_numeric_dtype(column):
        return False
    texts = column.dropna().astype(str)
    return bool(len(texts)) and bool(texts.str.fullmatch(r"\s*[+-]?\d*(,\d+)?\s*").all())


def _is_number(text: object) -> bool:
    try:
        float(str(text))
    except ValueError:
        return False
    return True


def _gaps(gaps: pd.DataFrame) -> str:
    counts = gaps.sum()
    worst = counts[counts > 0].sort_values(ascending=False)
    listed = ", ".join(
        f"{count:,} in {column!r} (first in row {int(gaps[column].idxmax())})"
        for column, count in worst.head(_LISTED).items()
    )
    return listed + (f" and {len(worst) - _LISTED} more columns" if len(worst) > _LISTED else "")


def _column(column, said, train, is_category, is_count) -> tuple[Column, np.ndarray]:
    r"""What a column is, and its values as floats. Raises: DataError if it is nothing usable."""
    import pandas as pd

    name, types = str(column.name), pd.api.types
    where = f"column {name!r} of {said}"
    if types.is_datetime64_any_dtype(column):
        raise DataError(f"{where} holds dates: turn them into numbers (days, hours), or drop it.")
    number = types.is_numeric_dtype(column) and not types.is_bool_dtype(column)
    if is_category or not number:
        codes, values = pd.factorize(column, sort=not types.is_object_dtype(column))
        if len(values) > _MOST_CATEGORIES:
            example = ", ".join(repr(str(value)) for value in values[:3])
            raise DataError(
                f"{where} holds {len(values)} different texts ({example}, …), too many for "
                f"categories: leave it out with drop=[{name!r}], or mend its numbers."
            )
        return Column(name, "category", categories=tuple(map(str, values))), codes.astype(float)
    array = column.to_numpy(dtype=np.float64)
    if not np.isfinite(array).all():
        row = int(np.flatnonzero(~np.isfinite(array))[0])
        count = int((~np.isfinite(array)).sum())
        raise DataError(f"{where} holds {count} infinities, the first in row {row}. {_MEND}")
    if is_count:
        if (array < 0).any() or (array != array.round()).any():
            raise DataError(f"{where} holds values that are no counts: expected 0, 1, 2, …")
        return Column(name, "count"), array
    mean, std = array[train].mean(), array[train].std()
    std = std if std > 1e-12 * max(1.0, abs(mean)) else 1.0  # a constant column stays finite
    return Column(name, "number", mean=float(mean), std=float(std)), (array - mean) / std
