"""Where ``submit`` reads jobs from: a file of lines, that can be read twice. Nothing is kept of a line once it was read."""

from __future__ import annotations

import csv
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping
from typing import IO, Any, NamedTuple

import click

from .._codec import PLAIN, Codec
from .._job_json import Asked, asked
from ..errors import BadArguments, PackhorseError

#: A line may be so long, in bytes; arguments alone may have 1 MiB.
LONGEST = 4 * 1024 * 1024


class Entry(NamedTuple):
    """One job that was asked for, or what is wrong with its line."""

    number: int  #: of the line, from 1
    asked: Asked | None
    text: str | None = None  #: what its id is made of; None: it gets a new one
    error: PackhorseError | None = None


class Lines:
    """A file of jobs: JSON lines, or CSV with a task whose parameters are the columns."""

    def __init__(self, file: IO[bytes], task: str | None, form: str, codec: Codec = PLAIN) -> None:
        """``form`` is "jsonl" or "csv"."""
        self._file = file
        self._task = task
        self._form = form
        self._codec = codec

    @property
    def size(self) -> int:
        """Return how many bytes there are."""
        return os.fstat(self._file.fileno()).st_size

    @property
    def done(self) -> int:
        """Return how many of them were read."""
        return self._file.tell()

    def __iter__(self) -> Iterator[Entry]:
        """Read from the beginning."""
        self._file.seek(0)
        return self._rows() if self._form == "csv" else self._objects()

    # -- JSON lines ---------------------------------------------------------------------------------------------------
    def _objects(self) -> Iterator[Entry]:
        for number, line in self._lines():
            text = line.strip() if isinstance(line, str) else ""
            if isinstance(line, PackhorseError):
                yield Entry(number, None, error=line)
            elif text:
                yield self._object(number, text)

    def _object(self, number: int, text: str) -> Entry:
        try:
            return Entry(number, asked(text, self._codec, self._task), text)
        except PackhorseError as error:
            return Entry(number, None, error=error)

    def _lines(self) -> Iterator[tuple[int, str | PackhorseError]]:
        number = 0
        while line := self._file.readline(LONGEST + 1):
            number += 1
            if len(line) > LONGEST:
                yield number, BadArguments(f"this line has more than {LONGEST // 2**20} MiB.")
                self._skip_rest()
                continue
            try:
                yield number, line.decode("utf-8-sig" if number == 1 else "utf-8")
            except UnicodeDecodeError as error:
                yield number, BadArguments(f"this is not UTF-8: {error.reason} at byte {error.start + 1}.")

    def _skip_rest(self) -> None:
        while (rest := self._file.readline(LONGEST)) and not rest.endswith(b"\n"):
            pass

    # -- CSV ----------------------------------------------------------------------------------------------------------
    def _rows(self) -> Iterator[Entry]:
        reader = csv.reader(self._texts(), strict=True)
        names: list[str] | None = None
        while True:
            number = reader.line_num + 1
            try:
                row = next(reader, None)
            except (csv.Error, UnicodeDecodeError, _BadText) as error:
                yield Entry(number, None, error=BadArguments(f"this is not CSV: {error}."))
                return  # where a row ends is not known from here on
            if row is None:
                return
            if names is None:
                names, wrong = _header(row)
                if wrong:
                    yield Entry(number, None, error=wrong)
                    return
            elif row:
                yield self._row(number, names, row)

    def _texts(self) -> Iterator[str]:
        for number, line in self._lines():
            if isinstance(line, PackhorseError):
                raise _BadText(f"line {number}: {line}")
            yield line

    def _row(self, number: int, names: list[str], row: list[str]) -> Entry:
        if len(row) != len(names):
            wrong = BadArguments(f"{len(row)} values for {len(names)} columns ({', '.join(names)}).")
            return Entry(number, None, error=wrong)
        given = {name: value for name, value in zip(names, row, strict=True) if value != ""}
        return Entry(number, Asked(task=self._task, kwargs=given), "\x1f".join((*names, *row)))


class _BadText(Exception):
    """A line that cannot be read at all."""


def _header(row: list[str]) -> tuple[list[str], BadArguments | None]:
    names = [name.strip() for name in row]
    twice = next((name for name in names if names.count(name) > 1), None)
    if not all(names) or twice:
        what = f"the column '{twice}' is there twice" if twice else "a column has no name"
        return names, BadArguments(f"the first line names the columns, and {what}.")
    return names, None


class Listed:
    """Jobs that were asked for on the command line itself."""

    def __init__(self, all_asked: list[Asked]) -> None:
        self._asked = all_asked
        self.done = 0

    @property
    def size(self) -> int:
        """Return how many jobs there are."""
        return len(self._asked)

    def __iter__(self) -> Iterator[Entry]:
        """Give them out, numbered."""
        for number, each in enumerate(self._asked, 1):
            self.done = number
            yield Entry(number, each)


# -- opening ----------------------------------------------------------------------------------------------------------
def open_file(name: str) -> IO[bytes]:
    """Return a file to be read twice; ``-`` is what stdin brings, kept in a temporary file."""
    if name == "-":
        return _spooled()
    try:
        return open(name, "rb")
    except OSError as error:
        raise click.UsageError(f"--from {name}: {error.strerror}.") from None


def _spooled() -> IO[bytes]:
    kept = tempfile.TemporaryFile()  # noqa: SIM115  # whoever reads it closes it
    shutil.copyfileobj(sys.stdin.buffer, kept)
    return kept


def form_of(name: str, given: str | None) -> str:
    """Return "jsonl" or "csv", as said or by the name of the file."""
    return given or ("csv" if name.lower().endswith(".csv") else "jsonl")


# -- for each path ----------------------------------------------------------------------------------------------------
def each_path(pattern: str) -> list[Mapping[str, Any]]:
    """Return what the fields stand for, for every path of a pattern, in order: ``path name stem dir``."""
    import glob

    found = sorted(glob.glob(os.path.expanduser(pattern), recursive=True))
    return [_fields(os.path.abspath(path)) for path in found]


def _fields(path: str) -> Mapping[str, str]:
    name = os.path.basename(path)
    return {"path": path, "name": name, "stem": os.path.splitext(name)[0], "dir": os.path.dirname(path)}
