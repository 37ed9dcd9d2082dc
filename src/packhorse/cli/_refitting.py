"""Other arguments for a command that waits: checked as those of a new one, so that it does not fail once it starts."""

from __future__ import annotations

from .._codec import PLAIN
from .._command import filled, is_raw, of_payload, stored
from .._command_draft import Known, find, task_draft, told_command
from .._command_task import TRIED_IN
from .._draft import Draft
from .._queue import Queue
from .._record import JobRecord
from .._store import Store
from ..errors import BadArguments, BadOption
from ._names import known_tasks


def refitted(store: Store, job: JobRecord, payload: str) -> str:
    """Return the payload as it is to be stored; what is no command stays as it is. Raises ``BadArguments`` and ``BadOption``."""
    try:
        return _raw(job, payload) if is_raw(job.task) else _declared(store, job, payload)
    except (BadArguments, BadOption) as error:
        text = str(error).removesuffix(f"  [{error.code}]").removesuffix(" Nothing stored.")
        raise type(error)(f"{text} Nothing changed.") from None


def _raw(job: JobRecord, payload: str) -> str:
    command = of_payload(payload, job.task)
    filled(command, command.params, TRIED_IN)
    if command.programs != of_payload(job.payload, job.task).programs:
        # Its task and the side line in which it may wait are named after it.
        raise BadOption("another program is another job: cancel this one, and submit the other.")
    return PLAIN.encode_call(*stored(command), job.task)


def _declared(store: Store, job: JobRecord, payload: str) -> str:
    known = find(job.task, None) or told_command(job.task, known_tasks(store).get(job.task))
    if known is None:
        return payload
    before, after = (_draft(job, known, each) for each in (job.payload, payload))
    if before._own[2].holds != after._own[2].holds:
        raise BadOption(
            "what it reserves, shares or is limited by is named by these values: cancel it, and submit another."
        )
    return after._payload


def _draft(job: JobRecord, known: Known, payload: str) -> Draft[int]:
    args, kwargs = PLAIN.decode_call(payload)
    return task_draft(Queue(job.queue), known, tuple(args), kwargs)
