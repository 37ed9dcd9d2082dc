"""A call that is checked and encoded, and not stored yet; and what all calls of one task on one queue share."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from types import MethodType
from typing import Any, Generic, TypeVar

from . import _identity, _signature
from ._codec import Codec
from ._ids import new_id
from ._names import key_list
from ._options import NONE, UNSET, Merged, Options, Unset, merge
from ._runtime import Source
from ._task import Task
from ._templates import Templates, needed
from .errors import BadOption

R_co = TypeVar("R_co", covariant=True)


class Target:
    """What a name leads to: function, name and the options of ``@task``. Found once, and asked whether it still holds."""

    __slots__ = ("_anchor", "_home", "_path", "fn", "options", "task", "templates")

    def __init__(self, anchor: object) -> None:
        """Check that a worker can find ``anchor`` again. Raises ``NotImportable`` and ``BadOption``."""
        self.fn, self.task, self.options = _look_at(anchor)
        tags = self.options.tags
        self.templates: Templates | None = None
        if not isinstance(tags, Unset) and self.fn is not None and needed(tags):
            self.templates = Templates(tags, self.fn, self.task)
        #: The object that the name must lead to. A name given as text is looked at again each time.
        self._anchor = anchor
        self._home, self._path = _home_of(anchor)

    def holds(self) -> bool:
        """Tell whether the name still leads to this very object. Cheap, and asked for every call: a mock may have come."""
        if self._home is None:
            return False
        found = self._home.get(self._path[0])
        return found is self._anchor or self._holds_below(found)

    def _holds_below(self, found: object) -> bool:
        for part in self._path[1:]:
            found = getattr(found, part, None)
        # Class methods are bound anew each time.
        return found is self._anchor or (isinstance(found, MethodType) and found == self._anchor)


class Plan:
    """One task on one queue with fixed options: everything that does not change from call to call."""

    __slots__ = ("codec", "fits", "fixed", "fixed_id", "fn", "own", "queue", "source", "target", "task", "templates")

    def __init__(
        self,
        target: Target,
        *,
        queue: str,
        source: Source,
        codec: Codec,
        levels: tuple[Options, Options, Options],
    ) -> None:
        """``levels`` are the options of ``using``, the ``Queue`` and the ``App``."""
        using, defaults, app = levels
        self.target = target
        self.fn, self.task = target.fn, target.task
        #: So many positional arguments fit, without a closer look.
        self.fits: range = _signature.fitting(target.fn)
        self.queue = queue
        self.source = source
        self.codec = codec
        self.fixed_id: str | None = None if using.id is UNSET else str(using.id)
        merged: Merged = merge(using, target.options, defaults, app)
        self.fixed, self.own = merged[:7], (merged.tags, merged.meta)
        # In ``using`` a tag is literal; what ``@task`` says is filled from the arguments.
        self.templates = target.templates if using.tags is UNSET else None

    def encode(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
        """Return the payload of one call, or raise ``BadArguments`` or ``NotSerialisable``."""
        if self.fn is not None and (kwargs or len(args) not in self.fits):
            _signature.check_call(self.fn, args, kwargs, self.task)
        return self.codec.encode_call(args, kwargs, self.task, self.fn)


def _look_at(target: Any) -> tuple[Callable[..., Any] | None, str, Options]:
    """Return function, task name and the options of ``@task``."""
    if isinstance(target, str):
        return _by_name(target)
    own = target.options if isinstance(target, Task) else NONE
    # Not ``task_name``, which remembers: a plan is made anew exactly when the name may lead elsewhere by now.
    return _identity.unwrap(target), _identity.given_name(target) or _identity.canonical(target), own


def _by_name(text: str) -> tuple[Callable[..., Any] | None, str, Options]:
    """A name is checked as far as that is possible here: the producer may not have the code at all."""
    name = _identity.check_name(text)
    found = _identity.declared(name)
    if found is None and name.partition(":")[0] in sys.modules:
        found = _identity.resolve(name)
    return (None, name, NONE) if found is None else _look_at(found)


def _home_of(target: Any) -> tuple[dict[str, Any] | None, tuple[str, ...]]:
    """Return the dictionary of the function's module and the way from there to it."""
    fn = _identity.unwrap(target)
    module = sys.modules.get(getattr(fn, "__module__", None) or "")
    path = tuple(getattr(fn, "__qualname__", "").split("."))
    return (module.__dict__, path) if module is not None and "<locals>" not in path else (None, path)


class Draft(Generic[R_co]):
    """A call of a task with its options, checked and encoded, not stored yet.

    Made by ``Queue.draft``, stored by ``Queue.enqueue_many`` and ``enqueue_iter``, and seen by the middleware's
    ``around_enqueue``, where ``add`` can still give it meta and tags. ``args`` and ``kwargs`` are what was passed.
    """

    __slots__ = ("_own", "_payload", "_plan", "args", "kwargs")

    def __init__(self, plan: Plan, payload: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self._plan = plan
        self._payload = payload
        #: Tags and meta, as JSON.
        self._own = plan.own if plan.templates is None else (_tags(plan.templates.fill(args, kwargs)), plan.own[1])
        self.args = args
        self.kwargs = kwargs

    @property
    def task(self) -> str:
        """Return the name of the task."""
        return self._plan.task

    @property
    def queue(self) -> str:
        """Return the name of the queue it goes to."""
        return self._plan.queue

    @property
    def meta(self) -> Mapping[str, Any]:
        """Return the meta it will be stored with; a copy."""
        return dict(json.loads(self._own[1])) if self._own[1] else {}

    @property
    def tags(self) -> tuple[str, ...]:
        """Return the tags it will be stored with."""
        return tuple(json.loads(self._own[0])) if self._own[0] else ()

    def add(self, *, meta: Mapping[str, Any] | None = None, tags: str | Sequence[str] = ()) -> None:
        """Add meta (key by key) and tags before it is stored. Raises ``NotSerialisable``, ``BadName`` for what cannot be kept."""
        if meta:
            if not isinstance(meta, Mapping):
                raise BadOption(f"Draft.add(meta=) takes a mapping of str to data, not {meta!r}.")
            new = json.loads(self._plan.codec.encode_value(dict(meta), "meta"))
            self._own = self._own[0], json.dumps({**self.meta, **new}, separators=(",", ":"))
        if tags:
            merged = key_list([*self.tags, *key_list(tags, "Draft.add(tags=)")], "Draft.add(tags=)")
            self._own = _tags(merged), self._own[1]

    def __repr__(self) -> str:
        """Show the task and the queue, not the arguments."""
        return f"<Draft {self._plan.task} for queue '{self._plan.queue}'>"


def _tags(tags: Sequence[str]) -> str:
    return json.dumps(tags, separators=(",", ":"))


def content(draft: Draft[Any], by: str, parent: str | None) -> tuple[Any, ...]:
    """Return what is stored, the values of a ``NewJob``."""
    plan = draft._plan
    return plan.fixed_id or new_id(), plan.task, plan.queue, draft._payload, *plan.fixed, *draft._own, by, parent
