"""Making a worker known to the store under its name, even if a dead one still bears it."""

from __future__ import annotations

import logging

from .._record import WorkerRecord
from .._store import Store
from ..errors import NameTaken, PackhorseError
from .firing import Firing
from .identity import Identity
from .limiting import Declared, publish_limits
from .lock import forget, place_for, proves_dead

_log = logging.getLogger("packhorse.worker")


def introduce(store: Store, mine: Identity, firing: Firing, limits: Declared) -> None:
    """Take the lock, register, and write down what the application declares."""
    mine.take_lock(place_for(store))
    sign_on(store, mine)
    firing.publish(store, mine.catalogue)
    publish_limits(store, limits, mine.catalogue)


def sign_on(store: Store, mine: Identity) -> None:
    """Register. A name that a dead worker of this host still bears is taken over from it; one that counts instances
    (``%i``) counts on. Raises ``NameTaken``."""
    while True:
        try:
            store.register(mine.record())
            return
        except NameTaken:
            if not _bury_namesake(store, mine) and not mine.next_name():
                raise


def _bury_namesake(store: Store, mine: Identity) -> bool:
    for worker in store.workers():
        if worker.name == mine.name and _is_dead(worker, mine) and store.condemn(worker.id, worker.beats, True):
            _log.warning("worker %s (pid %d) is dead; taking over its name and its jobs", worker.name, worker.pid)
            forget(worker.lock_path)
            return True
    return False


def _is_dead(worker: WorkerRecord, mine: Identity) -> bool:
    return proves_dead(worker, mine.host) or (worker.host == mine.host and worker.boot_id != mine.boot)


def sign_off(store: Store, identity: Identity) -> bool:
    """Take the worker's row away, and say so."""
    store.leave(identity.id)
    return True


def give_up(store: Store) -> None:
    """Close a store that does not work, which may fail for that very reason."""
    try:
        store.close()
    except PackhorseError:
        pass
