"""Who enqueued a job, and from where: effective and login user, host, program, file and line of the caller."""

from __future__ import annotations

import json
import os
import sys
from types import CodeType, FrameType
from typing import Any

#: Code of ours is never "the caller".
_OURS = os.path.dirname(os.path.abspath(__file__)) + os.sep
#: Enough for every call site of a large program; generated code must not grow it without end.
_MOST = 2000

#: (code object's id, instruction) → its text, and the code object so that the id stays its own.
_sites: dict[tuple[int, int], tuple[str, CodeType]] = {}
_process: tuple[int, dict[str, Any]] | None = None


def _forget() -> None:
    global _process
    _process = None
    _sites.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)

_euid = getattr(os, "geteuid", lambda: -1)


def caller() -> str:
    """Return, as a JSON object, who calls us: the nearest frame on the stack that is not ours.

    A call site is looked at once; asking again from the same place costs one dictionary look-up.
    """
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_code.co_filename.startswith(_OURS):
        frame = frame.f_back
    if frame is None:
        return json.dumps(_who())
    code = frame.f_code
    key = (id(code), frame.f_lasti)
    known = _sites.get(key)
    if known is not None and _process is not None and _process[0] == _euid():
        return known[0]
    return _note(key, frame)


def person() -> str:
    """Return who acts, for the record of a cancel, pause or requeue: ``ada@host``, or ``root (ada)@host`` after sudo."""
    who = _who()
    login = who.get("login")
    user = who["user"] if login in (None, who["user"]) else f"{who['user']} ({login})"
    return f"{user}@{who['host']}"


def _note(key: tuple[int, int], frame: FrameType) -> str:
    text = json.dumps({**_who(), "file": frame.f_code.co_filename, "line": frame.f_lineno})
    if len(_sites) >= _MOST:
        _sites.clear()
    _sites[key] = (text, frame.f_code)
    return text


def _who() -> dict[str, Any]:
    """Return the part that is the same in the whole process, until it changes its user."""
    global _process
    euid = _euid()
    if _process is None or _process[0] != euid:
        _sites.clear()
        facts = {"user": _user(euid), "login": _login(), "host": _host(), "program": _program(), "pid": os.getpid()}
        _process = (euid, {name: value for name, value in facts.items() if value is not None})
    return _process[1]


def _user(uid: int) -> str:
    if uid < 0:
        return os.environ.get("USERNAME", "")
    try:
        import pwd

        return pwd.getpwuid(uid).pw_name
    except (ImportError, KeyError):
        return str(uid)


def _login() -> str | None:
    """Return the user who logged in, where that can be told: it stays the same under ``su`` and ``sudo``."""
    try:
        with open("/proc/self/loginuid", encoding="ascii") as file:
            uid = int(file.read())
        if uid != 0xFFFFFFFF:
            return _user(uid)
    except (OSError, ValueError):
        pass
    return os.environ.get("SUDO_USER")


def _host() -> str:
    return os.uname().nodename if hasattr(os, "uname") else os.environ.get("COMPUTERNAME", "")


def _program() -> str:
    """Return what was started: ``app.py``, ``gunicorn``, ``python -m package``."""
    path = sys.argv[0] if sys.argv else ""
    if path.startswith(os.path.join(_OURS, "_child")):
        return "packhorse worker"
    name = os.path.basename(path)
    if name == "__main__.py":
        return f"python -m {os.path.basename(os.path.dirname(path))}"
    return "python" if name in ("", "-c") else name
