"""The waiting rules of one job, as they are stored with it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from hashlib import sha256
from typing import Any, Literal, NamedTuple

from . import _signature
from ._codec import Codec
from ._names import MAX_KEYS
from ._options import Unset, Waiting
from ._record import Mode
from ._reference import referred
from .errors import BadOption

_WORDS: dict[Mode, str] = {"x": "reserves", "s": "shares", "l": "limit"}


class Rules(NamedTuple):
    """The last fields of ``_record.NewJob``, under the same names."""

    holds: tuple[tuple[Mode, str], ...] = ()
    after: tuple[str, ...] = ()
    after_flow: str | None = None
    after_failed: bool = False
    flow: str | None = None
    unique: str | None = None
    unique_until: Literal["started", "finished", "flow"] | float = "finished"
    on_conflict: Literal["return", "replace", "raise"] = "return"


#: Those of a job that waits for nothing.
NO_RULES = Rules()


def rules_of(waiting: Waiting, task: str, arguments_key: Callable[[], str] | None = None) -> Rules:
    """Return the rules of a job of this task. ``arguments_key`` says its arguments in one key, for ``unique=True``.

    Raises ``BadOption`` for a key that would be held in two ways, for more than 100, and for a unique key held until two ends.
    """
    unique = waiting.unique
    if unique is True:
        unique = arguments_key() if arguments_key is not None else ""
    return Rules(
        holds=_holds(waiting, task) if waiting.reserves or waiting.shares or waiting.limit else (),
        after=waiting.after,
        after_flow=waiting.after_flow,
        after_failed=waiting.after_failed,
        flow=None if isinstance(waiting.flow, Unset) else waiting.flow,
        unique=_of_task(unique, task) if unique else None,
        unique_until=_until(waiting, task),
        on_conflict=waiting.on_conflict,
    )


def _of_task(key: str, task: str) -> str:
    return key if key.startswith("//") else f"{task}\x1f{key}"


def _until(waiting: Waiting, task: str) -> Literal["started", "finished", "flow"] | float:
    if not waiting.opens:
        return waiting.unique_until
    if waiting.unique_until != "finished":
        raise BadOption(
            f"a job of {task} has span='flow', so its unique key is held until its flow is over, and unique_until="
            f"{waiting.unique_until!r}, which says something else. Nothing stored. Leave one of them out."
        )
    return "flow"


def _holds(waiting: Waiting, task: str) -> tuple[tuple[Mode, str], ...]:
    found: dict[str, Mode] = {}
    ways: tuple[tuple[Mode, tuple[str, ...]], ...] = (
        ("x", waiting.reserves), ("s", waiting.shares), ("l", waiting.limit)
    )  # fmt: skip
    for mode, names in ways:
        for name in names:
            if found.setdefault(name, mode) != mode:
                raise BadOption(
                    f"a job of {task} has {name!r} both in {_WORDS[found[name]]} and in {_WORDS[mode]}; "
                    "it can be held in one way only. Nothing stored."
                )
    if len(found) > MAX_KEYS:
        raise BadOption(
            f"a job of {task} has {len(found)} keys in reserves, shares and limit; at most {MAX_KEYS} are allowed. "
            "Nothing stored."
        )
    return tuple(sorted((mode, name) for name, mode in found.items()))


def arguments_key(
    args: tuple[Any, ...], kwargs: dict[str, Any], fn: Callable[..., Any] | None, codec: Codec, payload: str
) -> str:
    """Return one key for all arguments, the same for equal calls, however they were passed.

    Where the function is not here, or a default cannot be stored, they are compared as they were passed.
    """
    data = json.loads(_evened(args, kwargs, fn, codec) or payload)
    text = json.dumps(data, sort_keys=True, separators=(",", ":"))
    return f"arguments {sha256(text.encode()).hexdigest()[:40]}"


def _evened(args: tuple[Any, ...], kwargs: dict[str, Any], fn: Callable[..., Any] | None, codec: Codec) -> str | None:
    signature = None if fn is None else _signature.signature_of(fn)
    if signature is None:
        return None
    bound = signature.bind(*args, **kwargs)
    bound.apply_defaults()
    try:
        return codec.encode_call(bound.args, bound.kwargs, "the call", fn)
    except (TypeError, ValueError):
        return None


def also_after(rules: Rules, payload: str) -> Rules:
    """Return the rules of a job whose arguments are, in part, results of other jobs: it waits for those too."""
    return following(rules, referred(json.loads(payload)))


def following(rules: Rules, ids: Iterable[str]) -> Rules:
    """Return the same rules for a job that waits for these jobs too."""
    return rules._replace(after=tuple(dict.fromkeys((*rules.after, *ids))))
