"""Texts that may hold a NUL, which PostgreSQL cannot store: written so that the same comes back.

JSON needs none of this: in it a NUL is ``\\u0000``.
"""

from __future__ import annotations

from typing import overload

_MARK = "\x1a"


@overload
def encoded(text: str) -> str: ...
@overload
def encoded(text: str | None) -> str | None: ...
def encoded(text: str | None) -> str | None:
    """Return a text as it is stored."""
    if text is None or ("\0" not in text and _MARK not in text):
        return text
    return text.replace(_MARK, f"{_MARK}1").replace("\0", f"{_MARK}0")


@overload
def decoded(text: str) -> str: ...
@overload
def decoded(text: str | None) -> str | None: ...
def decoded(text: str | None) -> str | None:
    """Return a stored text as it was given."""
    if text is None or _MARK not in text:
        return text
    return text.replace(f"{_MARK}0", "\0").replace(f"{_MARK}1", _MARK)
