"""Applying verdicts, fenced by job, token and running."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, NamedTuple

from ... import _outcome
from ..._record import LOG_STORED, Settled, Verdict
from ..._store import BATCH
from .connection import Argument, Connection
from .records import SEP, state_name
from .states import LETTERS, micros


class Settling(Connection):
    """The verb that ends attempts."""

    def settle(self, worker: str | None, verdicts: Sequence[Verdict]) -> list[Settled]:
        """Apply verdicts; return only those that were not applied as asked."""
        answers: list[Settled] = []
        for start in range(0, len(verdicts), BATCH):
            answers += self._settle(verdicts[start : start + BATCH])
        return answers

    def _settle(self, verdicts: Sequence[Verdict]) -> list[Settled]:
        batch = sent(verdicts)
        return self._settled(batch, self._run("settle", *batch.words))

    def _settled(self, batch: Batch, answer: list[Any]) -> list[Settled]:
        """Return what the script's answer means."""
        verdicts = batch.verdicts
        changed, told, stirred = answer
        self._did(changed, stirred)
        self._wait_for_disk()
        found = {
            place: Settled(verdicts[place].job, verdicts[place].token, how, state_name(state) if state else None)
            for place, how, state in zip(told[::3], told[1::3], told[2::3], strict=True)
        }
        for place in batch.unstorable:
            found[place] = _told_unstorable(verdicts[place], found.get(place))
        return [found[place] for place in sorted(found)]


class Batch(NamedTuple):
    """Verdicts as the script takes them."""

    verdicts: Sequence[Verdict]
    words: list[Argument]
    unstorable: set[int]  #: places of those with text that cannot be stored


def sent(verdicts: Sequence[Verdict]) -> Batch:
    """Return verdicts as the script takes them."""
    words: list[Argument] = []
    unstorable: set[int] = set()
    for place, verdict in enumerate(verdicts):
        body = _body(verdict)
        if body is None:
            unstorable.add(place)
            body = _instead(verdict)
        words += (verdict.job, verdict.token, body)
    return Batch(verdicts, words, unstorable)


def _body(verdict: Verdict) -> str | None:
    """Return a verdict as the script takes it, None if it has text that cannot be stored."""
    if verdict.plain and verdict[9:] == _PLAIN_REST:
        started = "" if verdict.started is None else micros(verdict.started)
        text = f"{started}{SEP}{micros(verdict.ended)}{SEP}{verdict.result or ''}"
    else:
        text = _as_json(verdict, verdict.outcome)
    return text if text.isascii() or _can_be_stored(text) else None


#: All that follows the error in a verdict that says no more than that the job succeeded.
_PLAIN_REST = Verdict("", "", "succeeded", "succeeded")[9:]


def _can_be_stored(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _as_json(verdict: Verdict, asked: str) -> str:
    """Return every part that says something. ``asked`` is the outcome by which a repeated call knows it."""
    over = max(len(verdict.log) - LOG_STORED, 0) if verdict.log is not None else 0
    late = verdict.result if verdict.result is not None else verdict.error
    parts: dict[str, Any] = {
        "outcome": verdict.outcome,
        "asked": asked,
        "state": LETTERS[verdict.state],
        "plain": verdict.plain,
        "started": None if verdict.started is None else micros(verdict.started),
        "result": verdict.result,
        "error": verdict.error,
        "late": late,
        "reason": verdict.reason,
        "failures": verdict.failures,
        "crashes": verdict.crashes,
        "losses": verdict.losses,
        "snoozes": verdict.snoozes,
        "suspect": verdict.suspect,
        "line": verdict.line,
        "log": None if verdict.log is None else verdict.log[over:],
        "dropped": verdict.log_dropped + over,
        "keep": None if verdict.keep is None else micros(verdict.keep),
        "usage": verdict.usage,
        "elsewhere": verdict.elsewhere,
    }
    said = {name: value for name, value in parts.items() if value is not None and value is not False and value != 0}
    if verdict.started is not None:
        said["started"] = parts["started"]
    if verdict.keep is not None:
        said["keep"] = parts["keep"]
    return json.dumps({**said, "ended": micros(verdict.ended), "delay": micros(verdict.delay)}, ensure_ascii=False)


def _instead(verdict: Verdict) -> str:
    """Return the verdict that stands in for one that cannot be stored: the job fails, saying why."""
    body = json.loads(_as_json(_outcome.unstorable(verdict, _problem(verdict)), verdict.outcome))
    late = verdict.result if verdict.result is not None else verdict.error
    if late is not None and _can_be_stored(late):
        body["late"] = late
    return json.dumps(body)


def _problem(verdict: Verdict) -> str:
    """Say what is wrong with the first text that cannot be stored."""
    for value in verdict:
        if isinstance(value, str):
            try:
                value.encode()
            except UnicodeEncodeError as error:
                return str(error)
    return "unknown"


def _told_unstorable(verdict: Verdict, answer: Settled | None) -> Settled:
    if answer is None:
        return Settled(verdict.job, verdict.token, "unstorable", "failed")
    return answer._replace(how="unstorable") if answer.how == "cancelled" else answer
