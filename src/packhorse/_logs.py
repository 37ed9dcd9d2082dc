"""Logging of ``packhorse worker``: stdlib logging, one handler, text for people or JSON for machines.

Only an entry point calls ``configure``; the library itself never touches logging. What the application has set up
stands: then no handler of ours is added, except for a log file that was asked for by name.
"""

from __future__ import annotations

import contextlib
import grp
import json
import logging
import os
import pwd
import re
import stat
import sys
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from .errors import BadOption, LogNotWritable

LEVELS = ("debug", "info", "warning", "error", "critical")
FORMATS = ("text", "json")
#: What a record inside a job carries besides its message.
CONTEXT = ("job_id", "task", "queue", "attempt", "worker")

Context = Callable[[], "Mapping[str, Any] | None"]
_context: Context = lambda: None  # noqa: E731


def set_context(get: Context) -> None:
    """Say how to learn of the job that is running where a record is made; ``get`` returns ``CONTEXT`` keys or None."""
    global _context
    _context = get


def configure(level: str = "info", fmt: str = "text", file: str | None = None) -> None:
    """Set up logging of this process, unless the application has.

    ``level`` is one of ``LEVELS``, ``fmt`` ``"text"`` or ``"json"``; ``file`` is appended to and may be moved away by
    logrotate at any time without a signal. Calling it again replaces what it did before. Raises ``LogNotWritable``
    if the file cannot be written and ``BadOption`` for an unknown level or format.
    """
    _check(level, fmt)
    root = logging.getLogger()
    _forget(root)
    logging.getLogger("packhorse").setLevel(level.upper())
    if file is None and _configured(root):
        return
    theirs = _configured(root)
    handler: logging.Handler = _open(file) if file is not None else logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if fmt == "json" else TextFormatter())
    handler.set_name(_NAME)
    root.addHandler(handler)
    if not theirs:
        root.setLevel(level.upper())


_NAME = "packhorse"


def _check(level: str, fmt: str) -> None:
    if level.lower() not in LEVELS:
        raise BadOption(f"--log-level is one of {', '.join(LEVELS)}; not {level!r}.")
    if fmt not in FORMATS:
        raise BadOption(f"--log-format is text or json; not {fmt!r}.")


def _forget(root: logging.Logger) -> None:
    for handler in [each for each in root.handlers if each.get_name() == _NAME]:
        root.removeHandler(handler)
        with contextlib.suppress(OSError):  # a full disk refuses what is still unwritten
            handler.close()


def _configured(root: logging.Logger) -> bool:
    ours = logging.getLogger("packhorse").handlers
    return any(not isinstance(handler, logging.NullHandler) for handler in [*root.handlers, *ours])


# -- the file ---------------------------------------------------------------------------------------------------------
def _open(file: str) -> logging.Handler:
    from ._log_file import LogFile

    try:
        return LogFile(file, encoding="utf-8", errors="backslashreplace")
    except OSError as error:
        raise LogNotWritable(not_writable(file, error)) from error


def not_writable(file: str, error: OSError) -> str:
    """Return the message for a log file that cannot be opened: who we are, whose it is, what to do."""
    path = os.path.abspath(file)
    return (
        f"cannot write the log file {path}\n"
        f"  {_myself()}; {_reason(path, error)}\n"
        f"  Try:  {_remedy(path, error)}     or leave --log-file out: journald keeps the log    "
    )


def _myself() -> str:
    groups = ", ".join(sorted({_group(number) for number in {os.getegid(), *os.getgroups()}}))
    return f"running as {_user(os.geteuid())} (uid {os.geteuid()}, groups {groups})"


def _reason(path: str, error: OSError) -> str:
    directory = os.path.dirname(path)
    if os.path.isdir(path):
        return "that is a directory, not a file"
    if not os.path.isdir(directory):
        return f"directory {directory} does not exist"
    if not isinstance(error, PermissionError):
        return f"{error.strerror or error}"
    return f"{_about_file(path)}; {_about_directory(directory)}"


def _about_file(path: str) -> str:
    try:
        found = os.stat(path)
    except OSError:
        return "the file does not exist yet"
    return f"file is {_user(found.st_uid)}:{_group(found.st_gid)} {stat.S_IMODE(found.st_mode):04o}"


def _about_directory(directory: str) -> str:
    try:
        found = os.stat(directory)
    except OSError as error:
        return f"directory {directory}: {error.strerror}"
    owner, group = _user(found.st_uid), _group(found.st_gid)
    writers = [owner] if found.st_mode & stat.S_IWUSR else []
    writers += [f"group {group}"] if found.st_mode & stat.S_IWGRP else []
    if found.st_mode & stat.S_IWOTH:
        writers = ["everybody"]
    who = " and ".join(writers) or "nobody"
    return f"directory {directory} is {owner}:{group} {stat.S_IMODE(found.st_mode):04o}, writable by {who} only"


def _remedy(path: str, error: OSError) -> str:
    user, directory = _user(os.geteuid()), os.path.dirname(path)
    if os.path.isdir(path):
        return f"--log-file {os.path.join(path, 'packhorse.log')}"
    if not os.path.isdir(directory):
        return f"sudo install -d -o {user} {directory}"
    if not isinstance(error, PermissionError):
        return "another file"
    if os.path.exists(path):
        return f"sudo chown {user} {path}"
    return f"sudo install -o {user} -m 0640 /dev/null {path}"


def _user(number: int) -> str:
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return str(number)


def _group(number: int) -> str:
    try:
        return grp.getgrgid(number).gr_name
    except KeyError:
        return str(number)


# -- the lines --------------------------------------------------------------------------------------------------------
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029]")


def context(record: logging.LogRecord) -> dict[str, Any]:
    """Return what is known of the job a record was made in: from the record itself (``extra=``), else from the run."""
    running = _context() or {}
    found = {key: getattr(record, key, running.get(key)) for key in CONTEXT}
    return {key: value for key, value in found.items() if value is not None}


class TextFormatter(logging.Formatter):
    """``2026-11-20 14:06:39.123 info packhorse.worker  message  (job 3f2a91c4 tasks:add)``, local time.

    Further lines are indented and control characters escaped, so that no message can pass for a record of ours.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, and the traceback under it."""
        moment = datetime.fromtimestamp(record.created).astimezone()
        head = f"{moment:%Y-%m-%d %H:%M:%S}.{int(record.msecs):03d} {record.levelname.lower()} {record.name}"
        return f"{head}  {self._body(record)}"

    def _body(self, record: logging.LogRecord) -> str:
        text = record.getMessage() + _said(context(record))
        if record.exc_info:
            text += "\n" + self.formatException(record.exc_info)
        text = _CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", text.replace("\r\n", "\n"))
        return text.replace("\n", "\n  ")


def _said(about: Mapping[str, Any]) -> str:
    if "job_id" not in about:
        return ""
    attempt = about.get("attempt", 1)
    again = f" attempt {attempt}" if attempt != 1 else ""
    return f"  (job {str(about['job_id'])[-8:]} {about.get('task', '')}{again})"


class JsonFormatter(logging.Formatter):
    """One JSON object a line: ``timestamp`` (RFC 3339, UTC) ``level logger message exception``, and the ``CONTEXT``."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the object as ASCII."""
        moment = datetime.fromtimestamp(record.created, UTC)
        line: dict[str, Any] = {
            "timestamp": moment.isoformat(timespec="microseconds").replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line | context(record), default=str)
