"""Files that are tables: CSV, TSV, JSON lists of objects, JSON lines, Parquet. The first rows, with a type for each column."""

from __future__ import annotations

import csv
import io
import json
import pathlib
import re
from dataclasses import dataclass
from typing import Any

_MOST_ROWS = 100
_MOST_COLUMNS = 200
_LONG_NUMBER = 10  # characters; what is longer is rounded
_NUMBER = re.compile(r"integer|number|u?int\d+|(half)?float\d*|double|decimal")
_MOST_JSON = 8 * 1024 * 1024  # bytes of a JSON list that is read whole


@dataclass(frozen=True)
class Column:
    """A column: its name and type (integer, number, string, boolean, or Parquet's own word)."""

    name: str
    type: str

    @property
    def is_number(self) -> bool:
        """Whether its values stand at the right."""
        return bool(_NUMBER.match(self.type))

    def shown(self, value: str) -> str:
        """A value as a cell shows it: fractions with six significant digits."""
        if self.type != "number" and not self.type.startswith(("float", "double", "halffloat")):
            return value
        try:
            return value if len(value) <= _LONG_NUMBER else f"{float(value):.6g}"
        except ValueError:
            return value


@dataclass(frozen=True)
class Table:
    """The first rows of a table, as text. `total` is the number of rows where it is known."""

    columns: tuple[Column, ...]
    rows: tuple[tuple[str, ...], ...]
    total: int | None = None
    note: str = ""

    @property
    def cells(self) -> list[list[tuple[str, str, bool]]]:
        """Each row as (as it is shown, in full, whether it is a number)."""
        return [
            [(column.shown(value), value, column.is_number) for column, value in zip(self.columns, row, strict=False)]
            for row in self.rows
        ]


def read_table(path: pathlib.Path, head: bytes) -> Table | None:
    """The table in a file, None where it is none. `head` are the file's first bytes."""
    name = path.name.lower()
    try:
        if head[:4] == b"PAR1":
            return _parquet(path)
        if name.endswith((".csv", ".tsv")) or _looks_like_csv(head):
            return _csv(path, "\t" if name.endswith(".tsv") or _tabs(head) else ",")
        if head.lstrip()[:1] == b"[" and path.stat().st_size <= _MOST_JSON:
            return _records(json.loads(path.read_bytes()))
        if name.endswith((".jsonl", ".ndjson")):
            with path.open(encoding="utf-8") as file:
                return _records([json.loads(line) for line, _ in zip(file, range(_MOST_ROWS), strict=False)], whole=False)
    except (ValueError, UnicodeDecodeError, csv.Error):
        return None  # it only looked like one; shown as what it is otherwise
    return None


def _looks_like_csv(head: bytes) -> bool:
    """At least two lines with the same number, two or more, of fields and nothing else that a text would have."""
    try:
        lines = head[:8192].decode("utf-8").splitlines()[:6]
    except UnicodeDecodeError:
        return False
    if len(lines) < 3 or head.lstrip()[:1] in (b"{", b"[", b"<", b"#"):
        return False
    separator = "\t" if _tabs(head) else ","
    try:
        widths = {len(row) for row in csv.reader(io.StringIO("\n".join(lines[:-1])), delimiter=separator)}
    except csv.Error:
        return False
    return len(widths) == 1 and widths.pop() >= 2


def _tabs(head: bytes) -> bool:
    first = head.split(b"\n", 1)[0]
    return first.count(b"\t") > first.count(b",")


def _csv(path: pathlib.Path, separator: str) -> Table | None:
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file, delimiter=separator)
        header = next(reader, None)
        if not header:
            return None
        rows, total = [], 0
        for row in reader:
            total += 1
            if len(rows) < _MOST_ROWS:
                rows.append(tuple(row))
            elif total > 1_000_000:
                return _table(header, rows, None)
    return _table(header, rows, total)


def _records(data: Any, whole: bool = True) -> Table | None:
    if not isinstance(data, list) or not data or not all(isinstance(row, dict) for row in data[:_MOST_ROWS]):
        return None
    names = list(dict.fromkeys(name for row in data[:_MOST_ROWS] for name in row))
    rows = [tuple(_text(row.get(name)) for name in names) for row in data[:_MOST_ROWS]]
    return _table(names, rows, len(data) if whole else None)


def _parquet(path: pathlib.Path) -> Table:
    import pyarrow.parquet as parquet  # noqa: PLC0415  it takes 40 MiB: only in the process that shows such a file

    file = parquet.ParquetFile(path)
    batch = next(file.iter_batches(batch_size=_MOST_ROWS), None)
    fields = file.schema_arrow
    columns = tuple(Column(field.name, str(field.type)) for field in fields)
    rows = [tuple(_text(row[column.name]) for column in columns) for row in batch.to_pylist()] if batch else []
    return _cut(Table(columns, tuple(rows), file.metadata.num_rows))


def _table(names: list[str], rows: list[tuple[str, ...]], total: int | None) -> Table:
    columns = tuple(Column(name, _type_of([row[i] for row in rows if i < len(row)])) for i, name in enumerate(names))
    return _cut(Table(columns, tuple(row[: len(names)] for row in rows), total))


def _cut(table: Table) -> Table:
    notes = []
    if table.total is not None and table.total > len(table.rows):
        notes.append(f"The first {len(table.rows)} of {table.total:,} rows.")
    if len(table.columns) > _MOST_COLUMNS:
        notes.append(f"The first {_MOST_COLUMNS} of {len(table.columns):,} columns.")
    rows = tuple(row[:_MOST_COLUMNS] for row in table.rows)
    return Table(table.columns[:_MOST_COLUMNS], rows, table.total, " ".join(notes))


def _type_of(values: list[str]) -> str:
    filled = [value for value in values if value != ""]
    for name, reads in (("integer", int), ("number", float)):
        try:
            for value in filled:
                reads(value)
        except ValueError:
            continue
        return name if filled else "string"
    return "boolean" if filled and {value.lower() for value in filled} <= {"true", "false"} else "string"


def _text(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
