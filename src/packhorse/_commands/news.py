"""What a running command lets be known of itself: its log as it grows, its progress, how long it has been quiet."""

from __future__ import annotations

import os
from collections.abc import Callable
from time import monotonic, time
from typing import Any, BinaryIO

from .progress import LINE_LIMIT, log_of, progress_of
from .streams import ERR, OUT, TOLD, Log

#: News are told at most so often; of a log that has lost its beginning, the whole each time, so seldom (seconds).
_EVERY = 0.1
_FLOOD_EVERY = 1.0
#: Among the bars of progress: since when there has been no output. No bar of the command's own begins so.
QUIET = "$quiet"


class News:
    """Of one attempt. ``tell`` takes the kind of news and its parts; it returns False if it should be told later."""

    def __init__(self, limit: int, quiet_after: float, tell: Callable[..., bool]) -> None:
        """``limit``: bytes of the end of each stream; ``quiet_after``: seconds without output until it is said."""
        self.log = Log(limit)
        self._tell = tell
        self._quiet_after = quiet_after
        self._files: dict[int, BinaryIO] = {}
        self._directory: str | None = None
        self._line = b""
        self._bars: dict[str, Any] = {}
        self._bars_new = False
        self._log_new = False
        self._next = 0.0
        self._last, self._last_at = monotonic(), time()
        self._quiet = False

    def keep_files(self, directory: str) -> None:
        """Keep the whole output too, in files there. Raises ``OSError``."""
        self._directory = directory
        for stream, name in ((OUT, "stdout"), (ERR, "stderr")):
            self._files[stream] = open(f"{directory}/{name}", "wb", buffering=0)  # noqa: SIM115  closed in close

    # -- what comes ---------------------------------------------------------------------------------------------------
    def heard(self, stream: int, data: bytes) -> None:
        """Take what a stream has brought."""
        now = monotonic()
        self._last, self._last_at = now, time()
        if self._quiet:
            self._quiet = False
            self._bars.pop(QUIET, None)
            self._bars_new = True
        if stream == TOLD:
            self._lines(data, now)
        else:
            self._keep(stream, data)
            self.log.feed(stream, data, now)
            self._log_new = True
        self.tick(now)

    def _keep(self, stream: int, data: bytes) -> None:
        file = self._files.get(stream)
        if file is None:
            return
        try:
            while data:
                data = data[file.write(data) or 0 :]
        except OSError as error:
            self._files.pop(stream).close()
            self._say(f"packhorse: the rest of this output is not kept: {error}".encode(), monotonic())

    def _lines(self, data: bytes, now: float) -> None:
        *lines, self._line = (self._line + data).split(b"\n")
        if len(self._line) > LINE_LIMIT:
            lines.append(self._line)
            self._line = b""
        for line in lines:
            self._told(line, now)

    def _told(self, line: bytes, now: float) -> None:
        text = line.decode("utf-8", "backslashreplace")
        bar = progress_of(text)
        if bar is not None:
            self._bars[""] = bar
            self._bars_new = True
        elif text.strip():
            said = log_of(text)
            self._say(line if said is None else said.encode(), now)

    def _say(self, line: bytes, now: float) -> None:
        self.log.feed(TOLD, line + b"\n", now)
        self._log_new = True

    # -- what is told -------------------------------------------------------------------------------------------------
    @property
    def due(self) -> float | None:
        """Return when to look again."""
        times = []
        if self._log_new or self._bars_new:
            times.append(self._next)
        if self.log.due is not None:
            times.append(self.log.due + 1.0)
        if not self._quiet:
            times.append(self._last + self._quiet_after)
        return min(times, default=None)

    def tick(self, now: float) -> None:
        """Tell what is due to be told."""
        seen = self.log.due
        if seen is not None:
            self.log.flush_old(now)
            self._log_new = self._log_new or self.log.due != seen
        if not self._quiet and now - self._last >= self._quiet_after:
            self._quiet = True
            self._bars[QUIET] = {"since": self._last_at}
            self._bars_new = True
        if now >= self._next and (self._log_new or self._bars_new):
            self._next = now + (_EVERY if self.log.whole else _FLOOD_EVERY)
            self._tell_all()

    def _tell_all(self) -> None:
        if self._bars_new and self._tell("progress", self._bars):
            self._bars_new = False
        if not self._log_new:
            return
        if not self.log.whole:
            self._log_new = not self._tell("tail", None)
            return
        text = self.log.news()
        self._log_new = False
        if text:
            self._tell("log", text)

    # -- the end ------------------------------------------------------------------------------------------------------
    def end_of_step(self) -> None:
        """What waits for the end of its line has it now."""
        if self._line:
            line, self._line = self._line, b""
            self._told(line, monotonic())
        self.log.flush(float("inf"))
        self._log_new = True

    def close(self) -> None:
        """Close the files, after telling how far it came."""
        self._next = 0.0
        if self._bars.pop(QUIET, None) is not None:
            self._bars_new = True
        self._log_new = False  # the verdict brings it
        self.tick(monotonic())
        for file in self._files.values():
            file.close()
        self._files.clear()

    def usage(self) -> dict[str, Any]:
        """Return what belongs on the record of the attempt."""
        if self._directory is None:
            return {}
        return {"output": [os.path.join(self._directory, name) for name in ("stdout", "stderr")]}
