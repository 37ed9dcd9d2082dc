"""From what the supervisor knows to what the store contract takes: nanoseconds become "seconds ago"."""

from __future__ import annotations

from collections.abc import Iterable

from .._record import Claimed, JobRecord, Report, Verdict
from .mailbox import Done, News

#: The counters of a job at its very first attempt (``_outcome.untouched``), and what a plain verdict has behind its result.
_FIRST = (0, 0, 0, 0, 0)
_REST = Verdict("", "", "succeeded", "succeeded")[8:]


def verdicts_of(runs: Iterable[Done], now: int) -> list[Verdict]:
    """Return the verdicts with their times as the store wants them: seconds before ``now``."""
    new, verdicts = tuple.__new__, []
    for job, start, end, verdict in runs:
        ended = (now - end) / 1e9
        started = (now - start) / 1e9 if start else None
        if verdict is None:
            # Made without the constructor, which takes longer than the rest of this loop.
            plain = job[8:13] == _FIRST
            verdict = new(Verdict, (job[0], job[1], "succeeded", "succeeded", started, ended, plain, "null", *_REST))
        else:
            verdict = verdict._replace(started=started, ended=ended)
        verdicts.append(verdict)
    return verdicts


def report_of(news: News, now: int) -> Report:
    """Return news as the store takes them."""
    started = (now - news.started) / 1e9 if news.started else None
    return Report(news.job.id, news.job.token, started, news.progress, news.log, news.log_dropped, news.meta)


def claimed_again(record: JobRecord) -> Claimed:
    """Return a stored job in the form in which it was claimed last."""
    fields = {name: getattr(record, name) for name in Claimed._fields if name != "token"}
    return Claimed(token=record.token or "", **fields)


def in_turn(groups: tuple[tuple[str, ...], ...] | None, turn: int) -> list[str] | None:
    """Return the queues in the order to be asked: groups in order, within a group in turn."""
    if groups is None:
        return None
    order: list[str] = []
    for group in groups:
        start = turn % len(group)
        order.extend(group[start:] + group[:start])
    return order
