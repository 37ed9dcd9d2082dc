"""A call that is checked and encoded, and not stored yet; and what all calls of one task on one queue share."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from types import MethodType
from typing import Any, Generic, TypeVar, cast

from . import _identity, _signature
from ._codec import Codec
from ._ids import new_id
from ._job_rules import NO_RULES, Rules, also_after, arguments_key, rules_of
from ._names import key_list
from ._options import AT_ONCE, NONE, UNSET, Merged, Options, extend, merge
from ._record import NewJob
from ._reference import MARK, Reference
from ._runtime import Around, Source
from ._task import Task
from ._templates import NAMES, Templates, templates_of
from .errors import BadOption

#: What one draft has of its own: tags and meta as JSON, and its rules.
Own = tuple[str | None, str | None, Rules]

_FLOW = NewJob._fields.index("flow")

R_co = TypeVar("R_co", covariant=True)


class Target:
    """What a name leads to: function, name and the options of ``@task``. Found once, and asked whether it still holds."""

    __slots__ = ("_anchor", "_home", "_path", "fn", "options", "task", "templates")

    def __init__(self, anchor: object) -> None:
        """Check that a worker can find ``anchor`` again. Raises ``NotImportable`` and ``BadOption``."""
        self.fn, self.task, self.options = _look_at(anchor)
        self.templates: Templates | None = None
        if self.options is not NONE and self.fn is not None:
            fn = self.fn
            self.templates = templates_of(self.options, lambda: _signature.signature_of(fn), self.task)
        #: The object that the name must lead to. A name given as text is looked at again each time.
        self._anchor = anchor
        self._home, self._path = _home_of(anchor)

    def stored(self, merged: Merged) -> Merged:
        """Return what is stored with each job of this task, given what its options say."""
        return merged

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

    __slots__ = (
        "around", "codec", "fields", "fits", "fixed", "fixed_id", "fn", "joins", "levels", "opens", "own", "per_call", "queue",
        "source", "target", "task", "templates", "waiting",
    )  # fmt: skip

    def __init__(
        self,
        target: Target,
        *,
        queue: str,
        source: Source,
        codec: Codec,
        levels: tuple[Options, Options, Options],
        around: Around = (),
    ) -> None:
        """``levels`` are the options of ``using``, the ``Queue`` and the ``App``; ``around`` the App's middleware."""
        using, defaults, app = self.levels = levels
        self.around = around
        self.target = target
        self.fn, self.task = target.fn, target.task
        #: So many positional arguments fit, without a closer look.
        self.fits: range = _signature.fitting(target.fn)
        self.queue = queue
        self.source = source
        self.codec = codec
        self.fixed_id: str | None = None if using.id is UNSET else str(using.id)
        merged: Merged = target.stored(merge(using, target.options, defaults, app))
        self.fixed, self.waiting = merged[:7], merged.waiting
        #: Its jobs begin flows of their own, for which they hold their unique keys.
        self.opens = self.waiting.opens and self.waiting.flow in (UNSET, None)
        #: Its jobs belong to the flow of the job that enqueues them.
        self.joins = self.waiting.flow is UNSET and not self.opens
        # In ``using`` a text is literal; what ``@task`` says is filled from the arguments.
        self.templates = target.templates
        self.fields = (
            self.templates.among(name for name in NAMES if name not in using.given()) if self.templates else ()
        )
        #: Tags, or rules, are not the same for all calls.
        self.per_call = bool(self.fields) or self.waiting.unique is True
        plain = self.waiting is AT_ONCE or self.per_call
        self.own: Own = (merged.tags, merged.meta, NO_RULES if plain else rules_of(self.waiting, self.task))

    def under(self, options: Options) -> Plan:
        """Return the same with options that hold where ``using`` gave none."""
        using, defaults, app = self.levels
        levels = (extend(options, using), defaults, app)
        return Plan(
            self.target, queue=self.queue, source=self.source, codec=self.codec, levels=levels, around=self.around
        )

    def own_of(self, args: tuple[Any, ...], kwargs: dict[str, Any], payload: str) -> Own:
        """Return what is one call's own, where that depends on the arguments. Raises ``BadName``, ``BadOption``."""
        found: dict[str, Any] = dict(self.templates.fill(self.fields, args, kwargs)) if self.templates else {}
        tags = found.pop("tags", None)
        if "unique" in found:
            found["unique"] = found["unique"][0]
        rules = rules_of(
            self.waiting._replace(**found),
            self.task,
            lambda: arguments_key(args, kwargs, self.fn, self.codec, payload),
        )
        return self.own[0] if tags is None else _tags(tags), self.own[1], rules

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

    __slots__ = ("_added", "_id", "_own", "_payload", "_plan", "args", "kwargs")

    def __init__(self, plan: Plan, payload: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self._plan = plan
        self._payload = payload
        self._own: Own = plan.own_of(args, kwargs, payload) if plan.per_call else plan.own
        if "$" in payload and MARK in payload:
            self._own = *self._own[:2], also_after(self._own[2], payload)
        self._id: str | None = None  #: given when it is asked for
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
    def as_argument(self) -> R_co:
        """Return what stands for the result of this call among the arguments of another: ``q.draft(add, d.as_argument, 1)``.

        The job that takes it waits for this one, as with ``after``, and gets the result just before it runs. This draft has to be
        stored first, or before it in the same call. From then on the draft stands for one job: stored again, it is the same.
        """
        if self._id is None:
            self._id = self._plan.fixed_id or new_id()
        return cast(R_co, Reference(self._id))

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
        own_tags, own_meta, rules = self._own
        if meta:
            if not isinstance(meta, Mapping):
                raise BadOption(f"Draft.add(meta=) takes a mapping of str to data, not {meta!r}.")
            new = json.loads(self._plan.codec.encode_value(dict(meta), "meta"))
            own_meta = json.dumps({**self.meta, **new}, separators=(",", ":"))
        if tags:
            own_tags = _tags(key_list([*self.tags, *key_list(tags, "Draft.add(tags=)")], "Draft.add(tags=)"))
        self._own = own_tags, own_meta, rules
        self._added = True

    def _under(self, plan: Plan) -> Draft[R_co]:
        """Return a copy by another plan for the same task, under the same id, with what was added to this one."""
        other = Draft[R_co](plan, self._payload, self.args, self.kwargs)
        other._id = self._id
        if hasattr(self, "_added"):
            other._own = *self._own[:2], other._own[2]
        return other

    def __repr__(self) -> str:
        """Show the task and the queue, not the arguments."""
        return f"<Draft {self._plan.task} for queue '{self._plan.queue}'>"


def _tags(tags: Sequence[str]) -> str:
    return json.dumps(tags, separators=(",", ":"))


def contents(drafts: Sequence[Draft[Any]], by: str, origin: tuple[str | None, str | None]) -> list[tuple[Any, ...]]:
    """Return what is stored, the values of a ``NewJob`` each. ``origin``: the job that runs here, and its flow."""
    parent, flow = origin
    found = [content(draft, by, parent) for draft in drafts]
    return found if flow is None else joined(found, drafts, flow)


def content(draft: Draft[Any], by: str, parent: str | None) -> tuple[Any, ...]:
    """Return the values of one ``NewJob``."""
    plan, (tags, meta, rules) = draft._plan, draft._own
    id = draft._id or plan.fixed_id or new_id()
    if plan.opens:
        rules = rules._replace(flow=id)
    return (
        id, plan.task, plan.queue, draft._payload, *plan.fixed, tags, meta, by, parent, *rules
    )  # fmt: skip


def joined(contents: list[tuple[Any, ...]], drafts: Sequence[Draft[Any]], flow: str) -> list[tuple[Any, ...]]:
    """Return the same as members of the flow of the job that enqueues them, where they were given none, not even None."""
    return [
        (*each[:_FLOW], flow, *each[_FLOW + 1 :]) if draft._plan.joins else each
        for each, draft in zip(contents, drafts, strict=True)
    ]
