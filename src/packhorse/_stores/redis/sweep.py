"""Looking for those who could go, though nothing would have ``admit`` look at them."""

from __future__ import annotations

from ..._record import BATCH
from ..._store import JobFilter
from ..._sweep import Swept
from .search import Searching

#: One script looks at so many jobs at most: it shall not hold others up.
_STEP = 100


class Sweeping(Searching):
    """The verb that looks at all who wait."""

    def sweep(self, after: int | None = None, limit: int = BATCH) -> Swept:
        """Look at some of those who wait; have those looked at again who were forgotten."""
        page = self.find(JobFilter(states=("blocked",)), limit, after)
        ids = [job.id for job in page.jobs if job.waits and job.has_rules]
        lost = [id for start in range(0, len(ids), _STEP) for id in self._run("sweep", *ids[start : start + _STEP])]
        self.freed = self.freed or bool(lost)
        return Swept(tuple(lost), page.next)
