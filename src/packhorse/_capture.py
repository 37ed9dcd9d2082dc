"""What a job prints and logs, kept with it: the newest 64 KiB."""

from __future__ import annotations

import io
import logging
import sys
from collections import deque
from collections.abc import Callable
from typing import Any, TextIO

from ._current import Running, running
from ._record import LOG_LIMIT


class Tail:
    """The newest characters of a text that grows, ``LOG_LIMIT`` unless said otherwise."""

    __slots__ = ("_limit", "_parts", "_size", "dropped", "seen")

    def __init__(self, limit: int = LOG_LIMIT) -> None:
        """Begin empty."""
        self._limit = limit
        self._parts: deque[str] = deque()
        self._size = 0
        self.dropped = 0  #: characters lost before the tail
        self.seen = 0  #: characters that ever came

    def add(self, text: str) -> None:
        """Append, dropping from the front what is too much."""
        self.seen += len(text)
        limit = self._limit
        if len(text) > limit:
            self.dropped += len(text) - limit
            text = text[-limit:]
        self._parts.append(text)
        self._size += len(text)
        while self._size > limit:
            self._shorten(self._size - limit)

    def _shorten(self, excess: int) -> None:
        first = self._parts.popleft()
        cut = min(excess, len(first))
        if cut < len(first):
            self._parts.appendleft(first[cut:])
        self._size -= cut
        self.dropped += cut

    def text(self) -> str:
        """Return the tail as one text."""
        joined = "".join(self._parts)
        self._parts = deque((joined,)) if joined else deque()
        return joined


#: Called with (run, text) for every piece of output, after it was added to the run's tail.
Listener = Callable[[Running, str], None]


class Capture(io.TextIOBase):
    """Stands in for ``sys.stdout`` and ``sys.stderr``: a job's prints go to its log, the first of them also to the terminal.

    A job that prints gigabytes costs a bounded log and a bounded echo; a terminal that is gone costs nothing.
    """

    def __init__(self, echo: TextIO | None, listener: Listener) -> None:
        """Echo to ``echo``, tell ``listener``."""
        self._echo = echo
        self._listener = listener

    def write(self, text: str) -> int:
        """Keep the text with the running job; outside a job only echo it."""
        text = _storable(text)
        run = running()
        if run is not None:
            keep(run, text, self._listener)
        if run is None or run.log.seen <= LOG_LIMIT:
            self._forward(text)
        return len(text)

    def _forward(self, text: str) -> None:
        if self._echo is None:
            return
        try:
            self._echo.write(text)
            self._echo.flush()
        except (OSError, ValueError):
            self._echo = None

    def flush(self) -> None:
        """Everything is written at once."""

    def writable(self) -> bool:
        """Say yes."""
        return True

    def isatty(self) -> bool:
        """Say no: progress bars and colours do not belong into a kept log."""
        return False

    def fileno(self) -> int:
        """Return the descriptor of the stream behind, for code that hands it to a subprocess."""
        if self._echo is None:
            raise io.UnsupportedOperation("fileno")
        return self._echo.fileno()

    encoding = "utf-8"

    @property
    def buffer(self) -> Any:
        """Return a binary face, for code that writes bytes to ``sys.stdout.buffer``."""
        return _Bytes(self)


class _Bytes(io.RawIOBase):
    def __init__(self, text: Capture) -> None:
        self._text = text

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        raw = bytes(data)
        self._text.write(raw.decode("utf-8", "backslashreplace"))
        return len(raw)


def _storable(text: str) -> str:
    """Return text that every store can take: a lone surrogate becomes its escape."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode("utf-8")


def keep(run: Running, text: str, listener: Listener) -> None:
    """Add text to a run's log and tell the listener."""
    if run.log is None:
        run.log = Tail()
    run.log.add(text)
    listener(run, text)


class JobLogHandler(logging.Handler):
    """Keeps every log record of a running job with it."""

    def __init__(self, listener: Listener) -> None:
        """Tell ``listener`` of each line."""
        super().__init__()
        self._listener = listener
        self.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        """Format and keep; a record that cannot be formatted must not fail the job."""
        run = running()
        if run is None:
            return
        try:
            line = self.format(record) + "\n"
        except Exception as error:
            line = f"<log record could not be formatted: {type(error).__name__}>\n"
        keep(run, _storable(line), self._listener)


def install(listener: Listener, echo: bool = True) -> None:
    """Take over ``sys.stdout`` and ``sys.stderr``, in a child."""
    sys.stdout = Capture(sys.__stdout__ if echo else None, listener)
    sys.stderr = Capture(sys.__stderr__ if echo else None, listener)


def configure_logs(configure: Callable[[], None], listener: Listener) -> None:
    """Set up logging after the application has, and keep the records of jobs.

    What ``configure`` sets up writes past the capture, else each line would be kept twice. An application whose own handler
    writes to a captured stream has its lines kept that way, in its own format.
    """
    captured, sys.stderr = sys.stderr, sys.__stderr__
    try:
        configure()
    finally:
        sys.stderr = captured
    root = logging.getLogger()
    if not any(isinstance(getattr(handler, "stream", None), Capture) for handler in root.handlers):
        root.addHandler(JobLogHandler(listener))
