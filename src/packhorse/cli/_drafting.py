"""From what was asked for, on the command line or in a line of a file, to drafts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from .._command_draft import command_draft, task_draft
from .._job_json import Asked, line_id
from .._option_checks import CHECKS
from ..errors import BadOption, PackhorseError
from ._lines import Entry
from ._names import Found, find, known_tasks
from ._session import Session, app_specs
from ._values import Parameters, convert, of_function, of_text

if TYPE_CHECKING:
    from .._draft import Draft
    from .._queue import Queue
    from .._store import Store

#: So many kinds of options are remembered: the jobs of a file have few.
_MOST = 256


class Drafting:
    """Makes drafts, all with the options, the queue and the values given here where a job does not say otherwise."""

    def __init__(
        self,
        session: Session,
        store: Store,
        *,
        queue: str | None = None,
        options: Mapping[str, Any] | None = None,
        sets: Mapping[str, Any] | None = None,
        as_text: bool = False,
    ) -> None:
        """``as_text``: values for functions are text, to be converted by the annotation."""
        self._session = session
        self._store = store
        self._queue = queue
        self._options = dict(options or {})
        self._sets = dict(sets or {})
        self._as_text = as_text
        self._known: dict[str, dict[str, Any]] | None = None
        self._found: dict[str, Found | PackhorseError] = {}
        self._queues: dict[tuple[str, str], Queue] = {}
        #: The flow of all that name none.
        self.flow: str | None = None

    def draft(self, entry: Entry) -> Draft[Any]:
        """Return the draft of one job, under its own id or that of its line. Raises what a wrong call raises."""
        asked = entry.asked
        assert asked is not None
        found = self._task(asked.task) if asked.task is not None else None
        name = asked.queue or self._queue or (own_queue(found) if found is not None else None) or "default"
        options = {**self._options, **asked.options}
        fixed = options.pop("id", None)
        if self.flow is not None:
            options.setdefault("flow", self.flow)
        draft = self._made(self._line(name, options), asked, found)
        draft._id = _id_of(fixed, entry, name)
        return draft

    def _line(self, name: str, options: Mapping[str, Any]) -> Queue:
        key = name, repr(sorted(options.items()))
        line = self._queues.get(key)
        if line is None:
            from .._queue import Queue

            if len(self._queues) >= _MOST:
                self._queues.clear()
            given: Any = options
            line = self._queues[key] = Queue(name, app=self._session.app).using(**given)
        return line

    def _made(self, queue: Queue, asked: Asked, found: Found | None) -> Draft[Any]:
        if found is None:
            return command_draft(queue, asked.command, asked.keys, "command")
        if found.command is not None or not (self._sets or self._as_text):
            return draft_of(queue, found, asked.args, {**self._sets, **asked.kwargs})
        known = parameters_of(found)
        kwargs = _converted(asked.kwargs, known, found.name) if self._as_text else asked.kwargs
        return draft_of(queue, found, asked.args, {**_converted(self._sets, known, found.name), **kwargs})

    def _task(self, name: str) -> Found:
        """Return what a name means, looked for once."""
        found = self._found.get(name)
        if found is None:
            try:
                found = find(name, self._told(), app_specs(self._session))
            except PackhorseError as error:
                found = error
            self._found[name] = found
        if isinstance(found, PackhorseError):
            raise found
        return found

    def _told(self) -> dict[str, dict[str, Any]]:
        if self._known is None:
            self._known = known_tasks(self._store)
        return self._known


def draft_of(queue: Queue, found: Found, args: Any, kwargs: dict[str, Any]) -> Draft[Any]:
    """Return a draft of a task: a command, a function that is here, one a worker tells of, or a name taken on trust."""
    if found.command is not None:
        return task_draft(queue, found.command, tuple(args), kwargs)
    if found.target is None and found.about:
        from .._told_task import draft_of as told

        return told(queue, found.name, found.about, tuple(args), kwargs)
    return queue.draft(found.target if found.target is not None else found.name, *args, **kwargs)


def own_queue(found: Found) -> str | None:
    """Return the queue that a task says, from the task itself or from a worker that knows it."""
    own = getattr(getattr(found.command or found.target, "options", None), "queue", None)
    told = (found.about or {}).get("queue")
    return next((name for name in (own, told) if isinstance(name, str)), None)


def parameters_of(found: Found) -> Parameters:
    """Return what is known of a function's parameters."""
    if found.target is not None:
        from .._identity import unwrap

        return of_function(unwrap(found.target))
    signature = str((found.about or {}).get("signature", ""))
    return of_text(signature[signature.find("(") :]) if "(" in signature else Parameters()


def _converted(given: Mapping[str, Any], known: Parameters, task: str) -> dict[str, Any]:
    found = dict(given)
    for name, value in given.items():
        annotation = known.named.get(name, known.others)
        try:
            found[name] = convert(value, annotation) if isinstance(value, str) else value
        except Exception as error:  # a model of the user's may refuse in any way
            said = getattr(annotation, "__name__", annotation)
            raise BadOption(f"'{name}' of {task} takes {said}, and {value!r:.80} is none.") from error
    return found


def _id_of(fixed: Any, entry: Entry, queue: str) -> str | None:
    if fixed is not None:
        return str(CHECKS["id"](fixed, "id")["id"])
    return None if entry.text is None else line_id(entry.text, entry.number, queue)
