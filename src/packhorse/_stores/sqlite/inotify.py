"""The kernel's notices about one file, by way of libc: Python's standard library has no inotify."""

from __future__ import annotations

import ctypes
import os

_MODIFY = 0x2


def watch(path: str) -> int | None:
    """Return a descriptor that becomes readable when the file is written to; None if there can be none."""
    libc = ctypes.CDLL(None, use_errno=True)
    try:
        notices: int = libc.inotify_init1(os.O_CLOEXEC | os.O_NONBLOCK)
    except AttributeError:  # a C library without it
        return None
    if notices >= 0 and libc.inotify_add_watch(notices, os.fsencode(path), _MODIFY) >= 0:
        return notices
    if notices >= 0:
        os.close(notices)
    return None
