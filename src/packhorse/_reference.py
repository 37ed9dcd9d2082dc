"""The result of another job, standing for itself among the arguments of a call that is enqueued before there is one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

#: How a reference begins in a payload. A ``dict`` that looks like one is stored inside ``{"$": …}``.
MARK = '{"$result":'

#: Returns the results of jobs by their ids.
Results = Callable[[list[str]], dict[str, Any]]


class Reference:
    """What ``as_argument`` gives: stored as ``{"$result": id}``, and replaced by the result just before the run."""

    __slots__ = ("id",)

    def __init__(self, id: str) -> None:
        """``id`` is that of the job whose result is meant."""
        if not isinstance(id, str):
            raise TypeError(id)
        self.id = id

    def __eq__(self, other: object) -> bool:
        """Two references to the same job are equal."""
        return isinstance(other, Reference) and other.id == self.id

    def __hash__(self) -> int:
        """Hash by id."""
        return hash(self.id)

    def __repr__(self) -> str:
        """Name the job."""
        return f"<result of job {self.id}>"


def referred(data: Any) -> Iterator[str]:
    """Yield the ids in stored data, undecoded JSON, in their order."""
    if isinstance(data, list):
        for part in data:
            yield from referred(part)
    elif isinstance(data, dict):
        if len(data) == 1:
            ((tag, inside),) = data.items()
            if tag == "$result":
                yield inside
                return
            if tag == "$" and isinstance(inside, dict):
                data = inside
        for part in data.values():
            yield from referred(part)


def put_in(args: list[Any], kwargs: dict[str, Any], results: Results) -> tuple[list[Any], dict[str, Any]]:
    """Return decoded arguments with results in the places of the references to them."""
    wanted = list(dict.fromkeys(_references((args, kwargs))))
    found = results(wanted)
    return _filled(args, found), _filled(kwargs, found)


def _references(value: Any) -> Iterator[str]:
    if isinstance(value, Reference):
        yield value.id
    elif isinstance(value, (list, tuple, set, frozenset)):
        for part in value:
            yield from _references(part)
    elif isinstance(value, dict):
        for part in value.values():
            yield from _references(part)


def _filled(value: Any, found: dict[str, Any]) -> Any:
    kind = type(value)
    if kind is Reference:
        return found[value.id]
    if kind in (list, tuple, set, frozenset):
        return kind(_filled(part, found) for part in value)
    if kind is dict:
        return {key: _filled(part, found) for key, part in value.items()}
    return value
