"""The part of the store contract that finds waiting jobs which were forgotten. Nothing here does I/O."""

# Not put off, as in _record.
from typing import NamedTuple, Protocol

from ._record import BATCH


class Swept(NamedTuple):
    """The answer to one ``sweep``."""

    lost: tuple[str, ...]  #: ids of jobs that were forgotten, and will be looked at now
    next: int | None  #: where to go on; None: that was all


class Sweeping(Protocol):
    """The verb that must find nothing."""

    def sweep(self, after: int | None = None, limit: int = BATCH) -> Swept:
        """Look at waiting jobs whatever was noted, at most ``limit`` of each kind a store keeps, from where the call before
        ended (``next``).

        ``admit`` looks at those only whose obstacle may be gone, by notes that are left where obstacles go away. If such a note
        was lost, be it by a fault here or by a hand in the tables, a job would wait for ever. One that waits, in whose way
        nothing is (see ``obstacles``), and that no note would have ``admit`` look at, is *lost*: it is noted now, and its id is
        told. ``freed`` is True then. One that has lost one of several obstacles unnoticed may be found while others are there,
        and one that gives up although others of its parents have not ended may be found when these have.

        Nothing else is changed, and a namespace where all is well is only read. A frozen one rests: ``Swept((), None)``.
        """
