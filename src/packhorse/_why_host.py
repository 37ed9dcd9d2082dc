"""Why nobody serves the queue of one host."""

from __future__ import annotations

from typing import Any

from ._host_queue import host_of, host_word
from ._store import Store
from ._when import distance, rfc3339
from ._why import live, queues_of


def of_a_host(store: Store, queue: str, now: int, facts: dict[str, Any]) -> str | None:
    """Return what to say of the queue of one host, whose jobs run nowhere else by themselves."""
    rows = store.workers(dead=True)
    found = host_of(queue, [(worker.host, queues_of(worker) or ()) for worker in rows])
    if found is None:
        return None
    prefix, host = found
    here = [worker for worker in rows if host_word(worker.host) == host]
    last = max((worker.seen_at for worker in here), default=None)
    others = sorted({name for worker in live(rows, now) for name in queues_of(worker) or () if name.startswith(prefix)})
    facts["host"], facts["host_seen_at"], facts["host_queues"] = host, rfc3339(last), others
    if live(here, now):
        return (
            f"it is that of host '{host}', whose workers do not; to start one there:  packhorse worker -q '{prefix}%h'"
        )
    heard = "of which nothing is known" if last is None else f"last heard of {distance(last, now)}"
    move = f"packhorse jobs edit queue:{queue} --queue {others[0] if others else prefix + 'OTHER'}"
    return f"it is that of host '{host}', {heard}; to let its jobs run elsewhere:  {move}"
