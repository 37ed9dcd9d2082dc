"""Taking back the jobs of workers that are dead."""

from __future__ import annotations

import logging

from .. import _rescue
from .._record import FINAL, Orphan, Verdict
from .._store import Store
from . import mailbox as m
from .shapes import claimed_again

_log = logging.getLogger("packhorse.store")


def rescue(store: Store, host: str, main: m.Mailbox) -> bool:
    """Decide what becomes of every orphan, and settle it; tell whether there were any."""
    orphans = store.orphans()
    if not orphans:
        return False
    verdicts = [_rescue.decide(orphan, host) for orphan in orphans]
    refused = {odd.job for odd in store.settle(None, verdicts)}
    for orphan, verdict in zip(orphans, verdicts, strict=True):
        if orphan.id not in refused:
            _log.warning("job %s of the dead worker %s: %s", orphan.id, orphan.worker, verdict.reason)
            if verdict.state in FINAL:
                _tell_final(store, orphan, verdict, main)
    return True


def _tell_final(store: Store, orphan: Orphan, verdict: Verdict, main: m.Mailbox) -> None:
    found = store.get([orphan.id])
    if found:
        main.put(m.Final(claimed_again(found[0]), verdict))
