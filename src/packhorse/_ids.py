"""Ids of jobs: UUID version 7 (RFC 9562) as text of 36 characters."""

from __future__ import annotations

import os
import random
from time import time_ns

# A generator of our own: a program that seeds the module's one must not get the same ids twice.
_random = random.Random()
_bits = _random.getrandbits
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_random.seed)

# Formatting is most of the cost of an id, so the part that counts is formatted beforehand, at the first id.
_COUNT: tuple[str, ...] = ()
_millisecond = 0
_prefix = ""
_count = 0


def new_id() -> str:
    """Return a fresh id: it sorts after all made before it in this process, and its last 8 characters are random.

    48 bits are the time in milliseconds, 12 count within the millisecond, 62 are random, which keeps processes apart. When the
    clock stands still or steps back, the last millisecond seen goes on; when the count is full, the next one is taken early.
    """
    global _count
    now = time_ns() // 1_000_000
    if now > _millisecond:
        _begin(now)
    elif _count == 4095:
        _begin(_millisecond + 1)
    else:
        _count += 1
    return f"{_prefix}{_COUNT[_count]}{0x8000 | _bits(14):x}-{_bits(48):012x}"


def _begin(millisecond: int) -> None:
    global _COUNT, _count, _millisecond, _prefix
    if not _COUNT:
        _COUNT = tuple(map("{:03x}-".format, range(4096)))
    text = f"{millisecond:012x}"
    _prefix = f"{text[:8]}-{text[8:]}-7"
    _count = 0
    _millisecond = millisecond
