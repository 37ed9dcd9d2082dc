"""The results of other jobs, looked up just before the run that takes them as arguments."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from ._record import JobRecord
from .errors import ResultGone, StoreUnavailable

if TYPE_CHECKING:
    from ._codec import Codec

#: Looks up stored jobs by their ids.
Look = Callable[[Sequence[str]], Sequence[JobRecord]]

#: A store that is away is asked again for so many seconds; then the job goes back to its queue.
_PATIENCE = 30.0
_AT_ONCE = 100


class Away(Exception):
    """The store did not answer: the run has not begun, and may begin anew without blame."""


class Results:
    """Finds results by the ids of their jobs."""

    def __init__(self, look: Look, codec: Codec) -> None:
        """``look`` asks the store."""
        self._look = look
        self._codec = codec

    def __call__(self, ids: list[str]) -> dict[str, Any]:
        """Return what these jobs returned, as data. Raises ``ResultGone`` for one that is not stored, ``Away``."""
        found: dict[str, JobRecord] = {}
        for start in range(0, len(ids), _AT_ONCE):
            found.update((record.id, record) for record in self._records(ids[start : start + _AT_ONCE]))
        return {each: self._codec.decode_value(_result(each, found.get(each))) for each in ids}

    def _records(self, ids: list[str]) -> Sequence[JobRecord]:
        pause, give_up = 0.05, time.monotonic() + _PATIENCE
        while True:
            try:
                return self._look(ids)
            except StoreUnavailable as error:
                if time.monotonic() + pause > give_up:
                    raise Away("the store did not answer when its arguments were looked up") from error
            time.sleep(pause * random.uniform(0.5, 1.0))
            pause = min(pause * 2, 1.0)


def _result(job: str, record: JobRecord | None) -> str:
    if record is not None and record.result is not None:
        return record.result
    if record is None:
        what = f"job {job} is not stored any more, nor is its result"
    elif record.state == "succeeded":
        why = record.reason or "its result is not stored, or not any more"
        what = f"job {job} ({record.task}) succeeded, but {why.rstrip('.')}"
    else:
        what = f"job {job} ({record.task}) is {record.state} and has no result"
    raise ResultGone(f"{what}; this job takes that result as an argument.")
