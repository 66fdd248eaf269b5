"""Labels of images from a file: a CSV, or CelebA's list of attributes."""

from __future__ import annotations

import csv
import io
import unicodedata
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import torch
from torch import Tensor

from lightning_gans.data.data_module import DataMissing
from lightning_gans.errors import InputError, reason
from lightning_gans.files import NotRegularFile, open_file
from lightning_gans.ranges import shown
from lightning_gans.text import printable

DELIMITERS = (",", ";", "\t")
# what attributes are written as: absent and present
ABSENT, PRESENT = ("0", "-1"), "1"
# bytes of the largest file that is read
LARGEST = 1_000_000_000
# images of which not each can be meant to have a class of its own
_MANY = 10


class Labels(NamedTuple):
    """The labels of images.

    Attributes:
        class_names: of the classes of each label. An attribute has two, "not NAME" and NAME.
        values: class indices, (n,) of one label, (n, labels) of several; 0 where there is no row.
        labelled: whether the file has a row for each image, (n,) bool.
        unknown: the rows of files that are none of the images.
    """

    class_names: tuple[tuple[str, ...], ...]
    values: Tensor
    labelled: Tensor
    unknown: tuple[str, ...]


class _Table(NamedTuple):
    """A file's columns of labels, and its rows with the number of the line."""

    columns: list[str]
    rows: list[tuple[int, list[str]]]
    has_header: bool


def attribute(name: str) -> tuple[str, str]:
    """The names of the two classes of an attribute, which images have or have not."""
    return f"not {name}", name


def read_labels(path: Path, names: Sequence[str], columns: Sequence[str] | None = None) -> Labels:
    """Read the labels of images.

    The first column is the name of the image's file, relative to the folder, or without folders if
    no two images share it. A single further column has the names of classes, which are sorted.
    Several columns have attributes, 0 (or -1) and 1, called as the first line says.

    Args:
        path: a CSV with commas, semicolons or tabs, in UTF-8 or UTF-16; or a file like CelebA's
            ``list_attr_celeba.txt``.
        names: of the images, relative to their folder.
        columns: which of the file's columns to use, in this order; all by default. A single one
            may have the names of classes.

    Raises:
        DataMissing: if there is no such file.
        InputError: if it is no such table, has no such column, or names an image twice.
    """
    table = _read_table(path, names)
    used = _used_columns(path, table, columns)
    known = _Finder(names)
    lines: dict[int, int] = {}
    values: dict[int, list[str]] = {}
    unknown = []
    for line, cells in table.rows:
        index = known.find(cells[0], path, line)
        if index is None:
            unknown.append(f"{cells[0]} (line {line})")
            continue
        if index in lines:
            raise InputError(
                f"{path} names {cells[0]} twice, in lines {lines[index]} and {line}; leave one row"
            )
        lines[index] = line
        values[index] = [cells[1 + column] for column in used]
    if not values:
        raise InputError(
            f"{path} names no image of these data: its first row is {shown(table.rows[0][1][0])}, "
            f"the first image {shown(names[0])}; its first column must hold the images' names"
        )
    class_names, indices = _classes(path, table, used, values, lines)
    found = torch.zeros(len(names), len(used), dtype=torch.long)
    labelled = torch.zeros(len(names), dtype=torch.bool)
    for index, row in indices.items():
        found[index] = torch.tensor(row)
        labelled[index] = True
    return Labels(
        class_names, found.squeeze(1) if len(used) == 1 else found, labelled, tuple(unknown)
    )


class _Texts(dict[str, str]):
    """Cells as they are compared; of the millions in a long list, most are one of a few texts."""

    def __missing__(self, text: str) -> str:
        self[text] = normal(text)
        return self[text]


class _Finder:
    """Finds images by their names in a file."""

    def __init__(self, names: Sequence[str]) -> None:
        self.by_path = {normal(name): index for index, name in enumerate(names)}
        self.by_name: dict[str, list[int]] = {}
        for index, name in enumerate(names):
            self.by_name.setdefault(normal(PurePosixPath(name).name), []).append(index)

    def find(self, cell: str, path: Path, line: int) -> int | None:
        """The number of an image; None if there is none.

        Raises:
            InputError: if several images have the name.
        """
        name = normal(cell)
        for written in (name, name.replace("\\", "/")):
            if (found := self.by_path.get(written.removeprefix("./"))) is not None:
                return found
        several = self.by_name.get(name, [])
        if len(several) > 1:
            raise InputError(
                f"{path}, line {line}: {len(several)} images are called {cell}; write their names "
                "with their folders"
            )
        return several[0] if several else None


def _classes(
    path: Path,
    table: _Table,
    used: Sequence[int],
    values: dict[int, list[str]],
    lines: dict[int, int],
) -> tuple[tuple[tuple[str, ...], ...], dict[int, list[int]]]:
    """The names of the classes of each label, and the class indices of each image."""
    alone = len(table.columns) == 1
    columns = {row: [cells[row] for cells in values.values()] for row in range(len(used))}
    are_attributes = [
        not alone and set(column) <= {*ABSENT, PRESENT} for column in columns.values()
    ]
    if len(used) == 1 and not are_attributes[0]:
        names = tuple(sorted(set(columns[0])))
        if "" in names:
            empty = next(lines[index] for index, cells in values.items() if not cells[0])
            raise InputError(f"{path}, line {empty}: the name of the class is empty; write one")
        if len(names) == len(values) >= _MANY:
            raise InputError(
                f"{path}: each of {len(values):,} images has a class of its own"
                f"{'' if alone else f' in the column {table.columns[used[0]]}'}; expected a column "
                "of classes that images share"
            )
        number = {name: i for i, name in enumerate(names)}
        return (names,), {index: [number[cells[0]]] for index, cells in values.items()}
    for index, cells in values.items():
        for column, cell in zip(used, cells, strict=True):
            if cell not in (*ABSENT, PRESENT):
                raise InputError(
                    f"{path}, line {lines[index]}: expected 0 or 1 in the column "
                    f"{table.columns[column]}, got {shown(cell)}; of several columns each is an "
                    "attribute, and names of classes are a column of their own, as in "
                    "data.label_columns=[NAME]"
                )
    if not table.has_header:
        raise InputError(
            f"{path}: its first line must name its {len(table.columns)} attributes, such as "
            "file,smiling,hat"
        )
    return (
        tuple(attribute(table.columns[column]) for column in used),
        {index: [int(cell == PRESENT) for cell in cells] for index, cells in values.items()},
    )


def _used_columns(path: Path, table: _Table, columns: Sequence[str] | None) -> list[int]:
    """The numbers of the columns to use."""
    if columns is None:
        return list(range(len(table.columns)))
    if not table.has_header:
        raise InputError(f"{path}: its first line must name its columns for data.label_columns")
    if not columns:
        raise InputError(f"data.label_columns names no column; {path} has {_listed(table.columns)}")
    found = []
    for column in map(normal, columns):
        if column not in table.columns:
            close = get_close_matches(column, table.columns, n=1)
            hint = f" (did you mean '{close[0]}'?)" if close else ""
            raise InputError(
                f"{path} has no column '{printable(column)}'{hint}; its columns are "
                f"{_listed(table.columns)}"
            )
        if table.columns.index(column) in found:
            raise InputError(f"data.label_columns names '{printable(column)}' twice")
        found.append(table.columns.index(column))
    return found


def _listed(columns: Sequence[str], most: int = 10) -> str:
    return ", ".join(columns[:most]) + (", ..." if len(columns) > most else "")


def _read_table(path: Path, names: Sequence[str]) -> _Table:
    """The rows of a file.

    Raises:
        DataMissing: if there is no such file.
        InputError: if it is no table.
    """
    text = _read_text(path)
    lines = [(number, line) for number, line in enumerate(text.splitlines(), 1) if line.strip()]
    if not lines:
        raise InputError(f"{path} is empty; expected a row for each image")
    first = lines[0][1].strip()
    if first.isascii() and first.isdigit() and len(lines) > 1:
        return _celeba_table(path, int(first), lines[1:])
    counts = {delimiter: lines[0][1].count(delimiter) for delimiter in DELIMITERS}
    delimiter = max(DELIMITERS, key=lambda each: counts[each])
    if not counts[delimiter]:
        raise InputError(
            f"{path}: expected columns that are separated by commas, semicolons or tabs, got "
            f"{shown(first)} in the first line"
        )
    texts = _Texts()
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        read = [(reader.line_num, [texts[cell] for cell in cells]) for cells in reader]
    except csv.Error as error:
        raise InputError(f"{path}, line {reader.line_num}: {reason(error)}") from error
    rows = [(line, cells) for line, cells in read if any(cells)]
    has_header = not _is_file_name(rows[0][1][0], names)
    header = rows[0][1] if has_header else ["", *(str(i) for i in range(len(rows[0][1]) - 1))]
    if len(rows) == 1 and has_header:
        raise InputError(f"{path} has a line with the names of columns, and no row of an image")
    return _checked(path, header[1:], rows[1:] if has_header else rows, has_header)


def _is_file_name(cell: str, names: Sequence[str]) -> bool:
    """Whether the first cell of a file is the name of an image rather than that of a column."""
    endings = {PurePosixPath(name).suffix.lower() for name in names}
    return PurePosixPath(cell.replace("\\", "/")).suffix.lower() in endings - {""}


def _celeba_table(path: Path, count: int, lines: Sequence[tuple[int, str]]) -> _Table:
    """A table of cells without spaces: the number of images, the attributes, and a row for each."""
    columns = [normal(name) for name in lines[0][1].split()]
    texts = _Texts()
    rows = [(number, [texts[cell] for cell in line.split()]) for number, line in lines[1:]]
    if len(rows) != count:
        raise InputError(
            f"{path} is damaged: its first line says {count:,} images, and it has {len(rows):,} "
            "rows"
        )
    return _checked(path, columns, rows, True)


def _checked(
    path: Path, columns: list[str], rows: list[tuple[int, list[str]]], has_header: bool
) -> _Table:
    """The table, if each row has a cell for each column, and each column a name."""
    for line, cells in rows:
        if len(cells) != len(columns) + 1:
            raise InputError(
                f"{path}, line {line}: expected {len(columns) + 1} cells, as in the first line, "
                f"got {len(cells)}"
            )
    if "" in columns:
        raise InputError(f"{path}: its first line leaves column {columns.index('') + 2} unnamed")
    if len(set(columns)) < len(columns):
        twice = next(name for name in columns if columns.count(name) > 1)
        raise InputError(f"{path} has two columns '{printable(twice)}'; rename one")
    if not rows:
        raise InputError(f"{path} has no row of an image")
    return _Table(columns, rows, has_header)


def _read_text(path: Path) -> str:
    """The text of a file in UTF-8 or UTF-16.

    Raises:
        DataMissing: if there is no such file.
        InputError: if it is not text.
    """
    try:
        with open_file(path) as file:
            content = file.read(LARGEST + 1)
    except FileNotFoundError:
        raise DataMissing(
            f"no file {path.absolute()}; data.labels is the path of a CSV with a row for each image"
        ) from None
    except NotRegularFile as error:
        raise InputError(f"data.labels: {error}") from error
    except OSError as error:
        raise InputError(f"{path} cannot be read: {reason(error)}") from error
    if len(content) > LARGEST:
        raise InputError(f"{path} has more than {LARGEST:,} bytes; is it a list of images?")
    utf16 = content.startswith((b"\xff\xfe", b"\xfe\xff"))
    try:
        text = content.decode("utf-16" if utf16 else "utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise InputError(
            f"{path}, line {line}: expected text in {'UTF-16' if utf16 else 'UTF-8'}, got the byte "
            f"0x{content[error.start]:02x}; save it as CSV UTF-8"
        ) from error
    if "\0" in text:
        raise InputError(f"{path} is no text file: it holds zero bytes; save it as CSV UTF-8")
    return text


def normal(text: str) -> str:
    """A name as it is compared: accents composed (macOS decomposes them), no spaces around it."""
    return unicodedata.normalize("NFC", text).strip()
