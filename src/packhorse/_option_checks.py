"""The checks of job options: each takes what was given and returns the fields of ``Options`` that it sets."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, cast

from ._backoff import Backoff
from ._codec import PLAIN
from ._durations import Duration, seconds
from ._names import key_list, name_of_task, one_key, queue_name
from .errors import BadOption, NaiveTime

if TYPE_CHECKING:
    from uuid import UUID

#: How a flow is named where only text will do, as in ``after="flow:ID"``.
FLOW_MARK = "flow:"


def _check_id(value: object, where: str) -> dict[str, Any]:
    from uuid import UUID

    try:
        return {"id": str(value if isinstance(value, UUID) else _uuid_text(value))}
    except ValueError:
        raise BadOption(f"{where} takes a UUID or its text of 36 characters, not {value!r}. Nothing stored.") from None


def _uuid_text(value: object) -> UUID:
    from uuid import UUID

    if not isinstance(value, str) or len(value) != 36:
        raise ValueError(value)
    return UUID(value)


def _check_at(value: object, where: str) -> dict[str, Any]:
    return {"at": micros(value, where)}


def micros(value: object, where: str) -> int:
    """Return an aware ``datetime`` as µs since the epoch. Raise ``NaiveTime`` for one without a time zone."""
    if not isinstance(value, datetime):
        raise BadOption(f"{where} takes a datetime with a time zone, not {value!r}.")
    if value.utcoffset() is None:
        raise NaiveTime(
            f"{where} is {value!r}, which has no time zone, so it could be hours away from what you mean. "
            f"Nothing stored. Write datetime(…, tzinfo=timezone.utc), or .astimezone() for local time."
        )
    return (value - _EPOCH) // timedelta(microseconds=1)


_EPOCH = datetime.fromisoformat("1970-01-01T00:00:00+00:00")


def _check_expires(value: object, where: str) -> dict[str, Any]:
    if isinstance(value, datetime):
        return {"expires_at": micros(value, where)}
    return {"expires": seconds(cast(Duration, value), where)}


def _check_priority(value: object, where: str) -> dict[str, Any]:
    if isinstance(value, bool) or not isinstance(value, int) or not -100 <= value <= 100:
        raise BadOption(f"{where} takes a whole number from -100 to 100 (higher runs first), not {value!r}.")
    return {"priority": value}


def _check_retry(value: object, where: str) -> dict[str, Any]:
    if isinstance(value, bool) or not isinstance(value, (int, Backoff)) or (isinstance(value, int) and value < 0):
        raise BadOption(f"{where} takes a number of further attempts, from 0, or a Backoff; not {value!r}.")
    return {"retry": Backoff.of(value)}


def _check_timeout(value: object, where: str) -> dict[str, Any]:
    limit = None if value is None else seconds(cast(Duration, value), where)
    if limit == 0:
        raise BadOption(f"{where} of 0 would stop every run at once; None means no limit.")
    return {"timeout": limit}


def _check_on_crash(value: object, where: str) -> dict[str, Any]:
    if value not in ("retry", "fail"):
        raise BadOption(f'{where} takes "retry" or "fail", not {value!r}.')
    return {"crash_fails": value == "fail"}


def _check_meta(value: object, where: str) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise BadOption(f"{where} takes a mapping of str to data, not {value!r}.")
    return {"meta": PLAIN.encode_value(dict(value), where)}


def _check_keep(value: object, where: str) -> dict[str, Any]:
    return {"keep_result": value if isinstance(value, bool) else seconds(cast(Duration, value), where)}


def _check_queue(value: object, where: str) -> dict[str, Any]:
    name = value if isinstance(value, str) else getattr(value, "name", None)
    if not isinstance(name, str):
        raise BadOption(f"{where} takes a queue's name or a Queue, not {value!r}.")
    return {"queue": queue_name(name, where)}


def _check_aliases(value: object, where: str) -> dict[str, Any]:
    names = [value] if isinstance(value, str) else value
    if not isinstance(names, Sequence):
        raise BadOption(f"{where} takes a list of names, not {value!r}.")
    return {"aliases": tuple(name_of_task(name, where, alias=True) for name in names)}


def _check_unique(value: object, where: str) -> dict[str, Any]:
    if isinstance(value, bool):
        return {"unique": value}
    if not isinstance(value, str):
        raise BadOption(f"{where} takes a key, True (task and all arguments) or False, not {value!r}.")
    return {"unique": one_key(value, where)}


def _check_until(value: object, where: str) -> dict[str, Any]:
    if value in ("started", "finished"):
        return {"unique_until": value}
    if isinstance(value, str) and value.isalpha():
        raise BadOption(f'{where} takes "started", "finished" or a duration from the enqueue, not {value!r}.')
    period = seconds(cast(Duration, value), where)
    if not period:
        raise BadOption(f"{where} of 0 would hold the key for no time at all; leave unique out.")
    return {"unique_until": period}


def _check_span(value: object, where: str) -> dict[str, Any]:
    if value not in ("job", "flow"):
        raise BadOption(f'{where} takes "job" or "flow", not {value!r}.')
    return {"span": value}


def _check_conflict(value: object, where: str) -> dict[str, Any]:
    if value not in ("return", "replace", "raise"):
        raise BadOption(f'{where} takes "return", "replace" or "raise", not {value!r}.')
    return {"on_conflict": value}


def _check_flow(value: object, where: str) -> dict[str, Any]:
    return {"flow": None if value is None else flow_id(value, where)}


def flow_id(value: object, where: str) -> str:
    """Return the id of a flow: any key. Raises ``BadName``."""
    return one_key(value, where)


def _check_after(value: object, where: str) -> dict[str, Any]:
    given = list(value) if isinstance(value, (list, tuple, set, frozenset)) else [value]
    ids = dict.fromkeys(_parent(each, where) for each in given)
    flows = [each.removeprefix(FLOW_MARK) for each in ids if each.startswith(FLOW_MARK)]
    if len(flows) > 1:
        raise BadOption(f"{where}: a job can wait for one flow, not for {len(flows)}: {', '.join(flows[:5])}.")
    jobs = tuple(each for each in ids if not each.startswith(FLOW_MARK))
    return {"after": jobs, "after_flow": flows[0] if flows else None}


def _parent(value: object, where: str) -> str:
    """Return the id of a parent, or the marked id of a flow, of whatever names one."""
    if hasattr(value, "_packhorse_flow_"):
        return FLOW_MARK + flow_id(value.id, where)  # type: ignore[attr-defined]
    if isinstance(value, str) and value.startswith(FLOW_MARK):
        return FLOW_MARK + flow_id(value.removeprefix(FLOW_MARK), where)
    text = getattr(value, "id", value) if hasattr(value, "_packhorse_job_") else value
    try:
        return str(_uuid_text(text))
    except ValueError:
        raise BadOption(
            f"{where} takes jobs, their whole ids, a flow or 'flow:' and its id, not {value!r:.80}. Nothing stored."
        ) from None


def _check_failure(value: object, where: str) -> dict[str, Any]:
    if value not in ("cancel", "run"):
        raise BadOption(f'{where} takes "cancel" or "run", not {value!r}.')
    return {"after_failed": value == "run"}


#: Each option that there is, in the order in which they are told.
CHECKS: dict[str, Callable[[Any, str], dict[str, Any]]] = {
    "id": _check_id,
    "delay": lambda value, where: {"delay": seconds(value, where)},
    "at": _check_at,
    "expires": _check_expires,
    "priority": _check_priority,
    "retry": _check_retry,
    "timeout": _check_timeout,
    "on_crash": _check_on_crash,
    "unique": _check_unique,
    "unique_until": _check_until,
    "span": _check_span,
    "on_conflict": _check_conflict,
    "reserves": lambda value, where: {"reserves": key_list(value, where)},
    "shares": lambda value, where: {"shares": key_list(value, where)},
    "limit": lambda value, where: {"limit": key_list(value, where)},
    "tags": lambda value, where: {"tags": key_list(value, where)},
    "flow": _check_flow,
    "after": _check_after,
    "after_failure": _check_failure,
    "meta": _check_meta,
    "keep_result": _check_keep,
    "queue": _check_queue,
    "name": lambda value, where: {"name": name_of_task(value, where)},
    "aliases": _check_aliases,
}
