"""Two stores side by side: are the jobs of one in the other, exactly? Knows only the protocol.

Of every job a SHA-256 is taken over all that belongs to it (but its number, which is each store's own), read back from both
stores; over those of 10,000 jobs another. Jobs are matched by id, so a different order is no difference.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from hashlib import sha256
from itertools import zip_longest
from typing import NamedTuple

from ._record import Parcel
from ._store import Store

BLOCK = 10_000
#: A batch is at most so many jobs, and about so many characters.
_MOST, _ROOM = 1000, 8_000_000
_FIRST = 16


class Tally(NamedTuple):
    """What the comparison found."""

    jobs: int
    blocks: tuple[str, ...]  #: SHA-256 of each 10,000 jobs of the first store
    differing: tuple[int, ...]  #: numbers, in the first store, of jobs that are missing in the second or not the same
    extra: tuple[str, ...]  #: ids that only the second has

    @property
    def same(self) -> bool:
        """Tell whether both stores have the same jobs."""
        return not self.differing and not self.extra


class _Entry(NamedTuple):
    digest: bytes
    id: str
    seq: int


def parcels(store: Store, after: int = 0) -> Iterator[list[Parcel]]:
    """Yield all jobs of a store from above a number, in batches that fit into memory however large a job is."""
    limit = _FIRST
    while batch := store.export(after, limit):
        yield batch
        after = batch[-1].job.seq
        each = sum(map(_weight, batch)) // len(batch)
        limit = max(1, min(_MOST, limit * 4, _ROOM // each))


def _weight(parcel: Parcel) -> int:
    logs = sum(len(text) for _, text, _ in parcel.logs)
    return 1000 + len(parcel.job.payload) + len(parcel.job.result or "") + logs


def compare(here: Store, there: Store, went: Callable[[int], None]) -> Tally:
    """Read both stores; ``went`` is told how many jobs have been read of the first."""
    left: dict[str, _Entry] = {}
    right: dict[str, _Entry] = {}
    jobs, blocks = 0, []
    nothing: list[_Entry] = []
    for mine, theirs in zip_longest(_blocks(here), _blocks(there), fillvalue=nothing):
        if [entry.digest for entry in mine] != [entry.digest for entry in theirs]:
            left.update((entry.id, entry) for entry in mine)
            right.update((entry.id, entry) for entry in theirs)
            _drop_equal(left, right)
        if mine:
            blocks.append(sha256(b"".join(entry.digest for entry in mine)).hexdigest())
        jobs += len(mine)
        went(jobs)
    differing = sorted(entry.seq for entry in left.values())
    return Tally(jobs, tuple(blocks), tuple(differing), tuple(id for id in right if id not in left))


def _drop_equal(left: dict[str, _Entry], right: dict[str, _Entry]) -> None:
    """Forget the jobs that have been found to be the same on both sides."""
    for id in [id for id, entry in left.items() if id in right and right[id].digest == entry.digest]:
        del left[id], right[id]


def _blocks(store: Store) -> Iterator[list[_Entry]]:
    block: list[_Entry] = []
    for batch in parcels(store):
        for parcel in batch:
            block.append(_Entry(digest(parcel), parcel.job.id, parcel.job.seq))
            if len(block) == BLOCK:
                yield block
                block = []
    if block:
        yield block


def digest(parcel: Parcel) -> bytes:
    """Return the SHA-256 over a job and all that belongs to it."""
    job = parcel.job
    canonical = (
        job.id,
        *job[2:15],
        bool(job.crash_fails),
        bool(job.suspect),
        *job[17:],
        *parcel[1:3],
        tuple(tuple(row) for row in parcel.attempts),
        tuple(tuple(log) for log in parcel.logs),
    )
    return sha256(repr(canonical).encode("utf-8", "backslashreplace")).digest()
