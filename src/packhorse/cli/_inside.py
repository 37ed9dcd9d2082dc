"""A command that is a job itself, and stores jobs: they record it as their parent and join its flow."""

from __future__ import annotations

import os

import click

from .._origin import adopted
from .._store import Store


def joined(store: Store) -> str | None:
    """Let what is stored from here to the end of the command record the job that runs this program, if one does; return its
    flow."""
    job = os.environ.get("PACKHORSE_JOB_ID", "")
    found = store.get([job]) if len(job) == 36 else []
    if not found:
        return None  # none, or one of another store
    flow = found[0].flow
    click.get_current_context().with_resource(adopted(lambda: (found[0].id, flow)))
    return flow
