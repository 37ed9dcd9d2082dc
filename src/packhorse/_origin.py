"""Which job runs here, if any: the parent of what is enqueued here, which joins its flow."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

#: A running job's id, and its flow.
Origin = tuple[str | None, str | None]

_NOWHERE: Origin = (None, None)
_origin: Callable[[], Origin] | None = None


def adopt(origin: Callable[[], Origin]) -> None:
    """Let jobs enqueued here record what ``origin()`` returns."""
    global _origin
    _origin = origin


@contextmanager
def adopted(origin: Callable[[], Origin]) -> Iterator[None]:
    """Do the same for the duration of a ``with``."""
    global _origin
    before, _origin = _origin, origin
    try:
        yield
    finally:
        _origin = before


def origin() -> Origin:
    """Return the job that runs here."""
    return _origin() if _origin is not None else _NOWHERE
