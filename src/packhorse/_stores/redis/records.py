"""From what is stored of a job to its record. docs/internals/redis.md describes both parts.

What was given at its enqueue is one text of fields, never changed. What it has become is nothing (queued since then), a
text of fields (running, or succeeded at its first attempt), or JSON of all that can change.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from ..._record import AttemptRecord, JobRecord, NewJob, Scope, State, rank
from ..._rules import after_text, held_names, holds_text, parents, scope
from .states import NAMES

SEP = "\x1e"

Kinds = Mapping[str, tuple[str, str]]


class Given(NamedTuple):
    """What was given."""

    created: int
    kind: str
    priority: int
    id: str
    payload: str
    by: str | None = None
    options: str | None = None
    tags: str | None = None
    meta: str | None = None
    parent: str | None = None
    rules: str | None = None  #: JSON, see ``rules_text``


def given_of(text: str) -> Given:
    """Take apart what was given."""
    created, kind, priority, id, payload, *rest = text.split(SEP)
    return Given(int(created), kind, int(priority), id, payload, *(part or None for part in rest))


def kind_in(text: str) -> str:
    """Return the kind of a job, of what was given."""
    return text.split(SEP, 2)[1]


def rest_of(
    payload: str,
    by: str | None,
    options: str | None,
    tags: str | None,
    meta: str | None,
    parent: str | None,
    rules: str | None = None,
) -> str:
    """Return the fields from the payload on, without empty ones at the end."""
    if options is None and tags is None and meta is None and parent is None and rules is None:
        text, seps = (payload, 0) if by is None else (f"{payload}{SEP}{by}", 1)
    else:
        parts = [payload, by or "", options or "", tags or "", meta or "", parent or "", rules or ""]
        while not parts[-1]:
            parts.pop()
        text, seps = SEP.join(parts), len(parts) - 1
    if text.count(SEP) != seps:
        raise ValueError("a job's JSON has the raw control character U+001E in it, which JSON does not allow")
    return text


def rules_text(job: NewJob) -> str:
    """Return what is kept of a new job's rules, its flow and its unique key."""
    return _rules_json(
        job.holds,
        job.after,
        job.after_flow,
        job.after_failed,
        job.flow,
        job.unique,
        scope(job.unique, job.unique_until),
    )


def rules_again(job: JobRecord) -> str | None:
    """Return the same of a stored one; None: it has none of these."""
    if not (job.has_rules or job.after_failed or job.flow is not None or job.unique_key is not None):
        return None
    return _rules_json(
        held_names(job.holds),
        parents(job.after),
        job.after_flow,
        job.after_failed,
        job.flow,
        job.unique_key,
        job.unique_until,
    )


def _rules_json(
    holds: Sequence[tuple[str, str]],
    after: Sequence[str],
    after_flow: str | None,
    after_failed: bool,
    flow: str | None,
    key: str | None,
    until: str | None,
) -> str:
    different = list(dict.fromkeys(after))
    found = {
        "h": list(map(list, holds)) or None,
        "a": different or None,
        "as": list(after) if len(different) < len(after) else None,
        "af": after_flow,
        "ff": after_failed or None,
        "fl": flow,
        "u": key,
        "uu": until,
    }
    return json.dumps({name: value for name, value in found.items() if value is not None})


class Rules(NamedTuple):
    """What is kept of a job's rules, as its record has it."""

    holds: str | None = None
    after: str | None = None
    after_flow: str | None = None
    after_failed: bool = False
    flow: str | None = None
    unique_key: str | None = None
    unique_until: Scope | None = None


_NO_RULES = Rules()


def rules_of(text: str | None) -> Rules:
    """Return the rules of a job."""
    if not text:
        return _NO_RULES
    get = json.loads(text).get
    return Rules(
        holds_text(get("h", ())),
        after_text(get("as", get("a", ()))),
        get("af"),
        get("ff", False),
        get("fl"),
        get("u"),
        get("uu"),
    )


def state_of(text: str) -> dict[str, Any]:
    """Return what a job has become, by the names of its record; what is as at the enqueue is absent."""
    if not text:
        return {"s": "q"}
    if text[0] == "{":
        found: dict[str, Any] = json.loads(text)
        return found
    state, (token, worker, number, fence, *rest) = text[0], text[1:].split(SEP, 7)
    found = {"s": state, "tok": token, "w": worker, "fence": fence}
    if state == "r":
        found["cn"] = int(number)
        return found
    at, started, ended, result = rest
    found["fin"] = int(at) - int(ended)
    if started:
        found["st"] = int(at) - int(started)
    if result:
        found["res"] = result
    return found


def record_of(seq: str, given_text: str, state_text: str, kinds: Kinds) -> JobRecord:
    """Return the record of a job."""
    given, d = given_of(given_text), state_of(state_text)
    queue, task = kinds[given.kind]
    get = d.get
    return JobRecord(
        id=given.id,
        seq=int(seq),
        task=task,
        queue=queue,
        state=NAMES[d["s"]],
        payload=given.payload,
        priority=given.priority,
        rank=int(d["rank"]) if "rank" in d else rank(given.created, given.priority),
        created_at=given.created,
        scheduled_at=number(get("sch")),
        due_at=number(get("due")),
        started_at=number(get("st")),
        finished_at=number(get("fin")),
        expires_at=number(get("exp")),
        options=given.options,
        crash_fails=bool(get("solo")),
        suspect=bool(get("sus")),
        failures=get("f", 0),
        crashes=get("c", 0),
        losses=get("l", 0),
        snoozes=get("n", 0),
        generation=get("g", 0),
        fence=int(get("fence", 0)),
        token=get("tok"),
        worker=get("w"),
        line=get("line", queue),
        tags=given.tags,
        meta=get("meta", given.meta),
        by=given.by,
        parent=given.parent,
        result=get("res"),
        result_until=number(get("ru")),
        error=get("error"),
        reason=get("reason"),
        progress=get("progress"),
        cancel_at=number(get("ca")),
        cancel_by=get("cb"),
        **_with_rules(given.rules, d),
    )


def _with_rules(text: str | None, d: dict[str, Any]) -> dict[str, Any]:
    """Return what a record has of a job's rules, as they were given and as it stands with them."""
    return {
        **rules_of(text)._asdict(),
        "unique_held": "uk" in d,
        "unique_end": number(d.get("ue")),
        "place": number(d.get("pl")),
        "parked": d["s"] == "b" and "wt" not in d,
        "given_up": d.get("gu"),
    }


def number(text: str | int | None) -> int | None:
    """Return a number that travels as text."""
    return None if text is None else int(text)


def attempt_of(job: str, text: str) -> AttemptRecord:
    """Return the record of an ended run."""
    row = json.loads(text)
    return AttemptRecord(
        job=job,
        token=row["token"],
        generation=row["generation"],
        number=row["number"],
        worker=row.get("worker"),
        host=row.get("host"),
        started_at=number(row.get("started")),
        ended_at=int(row["ended"]),
        outcome=row["outcome"],
        error=row.get("error"),
        reason=row.get("reason"),
        usage=row.get("usage"),
        late=row.get("late"),
    )


def logs_of(fields: Sequence[str]) -> list[tuple[str, str, int]]:
    """Return (token, text, dropped), oldest first, of the hash in which logs are kept."""
    found = dict(zip(fields[::2], fields[1::2], strict=True))
    places = {name[1:]: value.split(" ") for name, value in found.items() if name[0] == "#"}
    ordered = sorted(places, key=lambda token: int(places[token][0]))
    return [(token, found[token], int(places[token][1])) for token in ordered]


def state_name(letter: str) -> State:
    """Return the state of a letter."""
    return NAMES[letter]
