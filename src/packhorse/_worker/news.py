"""News of running jobs that the store has not been told yet."""

from __future__ import annotations

import logging
from time import monotonic_ns

from .._store import Store
from ..errors import PackhorseError
from .mailbox import News
from .shapes import report_of

_log = logging.getLogger("packhorse.store")


class Unreported:
    """The latest news of each run: each tells all that is known, so that an outage of hours keeps no more than one."""

    def __init__(self) -> None:
        """Nothing is new."""
        self._latest: dict[tuple[str, str], News] = {}

    def __bool__(self) -> bool:
        """Tell whether there is anything."""
        return bool(self._latest)

    def add(self, news: list[News]) -> None:
        """Take news."""
        for each in news:
            self._latest[each.job.id, each.job.token] = each

    def clear(self) -> None:
        """Forget all."""
        self._latest.clear()

    def report(self, store: Store, worker: str) -> None:
        """Report all. They are kept if the store has trouble; a piece that it cannot take is dropped."""
        latest = list(self._latest.values())
        try:
            _send(store, worker, latest)
        except PackhorseError:
            raise
        except Exception:
            for news in latest:  # one job must not silence the others, let alone end the worker
                _send_alone(store, worker, news)
        self._latest.clear()


def _send(store: Store, worker: str, news: list[News]) -> None:
    now = monotonic_ns()
    store.report(worker, [report_of(each, now) for each in news])


def _send_alone(store: Store, worker: str, news: News) -> None:
    try:
        _send(store, worker, [news])
    except PackhorseError:
        raise
    except Exception as error:
        _log.error("job %s: what it told of itself cannot be stored (%s); it is dropped", news.job.id, error)
