"""From what the supervisor knows to what the store contract takes: nanoseconds become "seconds ago"."""

from __future__ import annotations

from .. import _outcome
from .._record import Claimed, JobRecord, Report, Verdict
from .mailbox import Done, News


def verdict_of(run: Done, now: int) -> Verdict:
    """Return the verdict with its times as the store wants them: seconds ago."""
    job, start, end, verdict = run
    started = (now - start) / 1e9 if start else None
    ended = (now - end) / 1e9
    if verdict is None:
        plain = _outcome.untouched(job)
        return Verdict(job.id, job.token, "succeeded", "succeeded", started, ended, plain, "null")
    return verdict._replace(started=started, ended=ended)


def report_of(news: News, now: int) -> Report:
    """Return news as the store takes them."""
    started = (now - news.started) / 1e9 if news.started else None
    return Report(news.job.id, news.job.token, started, news.progress, news.log, news.log_dropped, news.meta)


def claimed_again(record: JobRecord) -> Claimed:
    """Return a stored job in the form in which it was claimed last."""
    fields = {name: getattr(record, name) for name in Claimed._fields if name != "token"}
    return Claimed(token=record.token or "", **fields)
