"""The handler behind ``--log-file``, apart because ``logging.handlers`` is slow to import and most workers log to a terminal."""

from __future__ import annotations

import logging
import sys
import time
from logging.handlers import WatchedFileHandler

#: A log file that cannot be written is complained of this often, seconds.
_QUIET = 60.0


class LogFile(WatchedFileHandler):
    """A log file that may vanish, be moved or fill its disk: the work goes on, and stderr says so now and then."""

    _complained = -_QUIET

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  (its name in logging)
        """Tell on stderr what is wrong with the file, and show the record there."""
        if time.monotonic() - self._complained < _QUIET:
            return
        self._complained = time.monotonic()
        sys.stderr.write(f"packhorse: cannot write to {self.baseFilename}: {sys.exc_info()[1]}; lines are lost\n")
