"""What a worker does first when its store is back: compare what it holds with what the store says it holds."""

from __future__ import annotations

from .._store import Store
from . import mailbox as m
from .held import Held


def recheck(store: Store, worker: str, claim_no: int, held: Held, main: m.Mailbox) -> int:
    """Beat at once, and hand its orders to main; return how many jobs were compared.

    For the thread that claims only: none of its claims is under way, so whatever the last one brought in a reply that was lost
    is a ghost, and goes back now.
    """
    held.claimed(claim_no, [])
    _, pairs = held.snapshot()
    main.put(m.Beaten(store.beat(worker, claim_no, pairs)))
    return len(pairs)
