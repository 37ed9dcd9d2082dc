"""Chains and groups: many drafts, stored in one call, with the rules that make one wait for another."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any, TypeVar, Unpack, overload

from . import _bulk, _runtime
from ._by import caller
from ._draft import Draft, Plan
from ._flow import Flow
from ._ids import new_id
from ._job_rules import following
from ._options import JobOptions, Options, check
from ._runtime import Connection
from .errors import BadOption

if TYPE_CHECKING:
    from ._job import Job
    from ._within import Transaction

R = TypeVar("R")

#: So many jobs are stored in one call at most.
_MOST = 10_000
#: Options that belong to one job, or that only the first jobs of a flow have.
_OF_ONE = ("id", "unique", "unique_until", "span", "on_conflict")
_OF_THE_FIRST = ("delay", "at", "after", "after_flow")


# -- what users call --------------------------------------------------------------------------------------------------
def chain(*drafts: Draft[Any], within: object = None, **options: Unpack[JobOptions]) -> Job[Any]:
    """Store drafts that run one after another, all or none, and return the job of the last.

    Each goes to its own queue and starts when the one before has succeeded; if that fails or is cancelled, all after it are
    cancelled, unless ``after_failure="run"``. They are one flow: a new one, or the one that ``flow=`` names. The other options
    hold for every link where its own ``using`` says nothing; ``delay``, ``at`` and ``after`` for the first. ``within`` is what
    ``Queue.within`` takes.

    Raises ``BadOption`` for what cannot be chained, and what ``enqueue`` raises; then nothing is stored.
    """
    return _put(_chained(drafts, _Common("chain", options)), within, caller())[-1]


@overload
def group(
    drafts: Iterable[Draft[Any]], /, *, then: Draft[R], within: object = None, **options: Unpack[JobOptions]
) -> Job[R]: ...
@overload
def group(
    drafts: Iterable[Draft[Any]], /, *, then: None = None, within: object = None, **options: Unpack[JobOptions]
) -> Flow: ...
def group(
    drafts: Iterable[Draft[Any]],
    /,
    *,
    then: Draft[Any] | None = None,
    within: object = None,
    **options: Unpack[JobOptions],
) -> Job[Any] | Flow:
    """Store drafts that run side by side, all or none, and ``then`` one that starts when all of them have ended.

    Return the job of ``then``, or without it the flow they are: a new one, or the one that ``flow=`` names. ``then`` waits for
    every other member, those too that members enqueue meanwhile; if one does not succeed, it is cancelled, unless its own
    ``after_failure="run"``. The other options are as with ``chain``; ``delay``, ``at`` and ``after`` hold for the members.
    At most 10,000 drafts.

    Raises ``BadOption`` for what cannot be grouped, and what ``enqueue`` raises; then nothing is stored.
    """
    common = _Common("group", options)
    stored = _put(_grouped(drafts, then, common), within, caller())
    return stored[-1] if then is not None else common.flow


async def achain(*drafts: Draft[Any], within: object = None, **options: Unpack[JobOptions]) -> Job[Any]:
    """Do what ``chain`` does, without blocking the event loop; ``within`` is then a handle that is awaited."""
    return (await _aput(_chained(drafts, _Common("achain", options)), within, caller()))[-1]


@overload
async def agroup(
    drafts: Iterable[Draft[Any]], /, *, then: Draft[R], within: object = None, **options: Unpack[JobOptions]
) -> Job[R]: ...
@overload
async def agroup(
    drafts: Iterable[Draft[Any]], /, *, then: None = None, within: object = None, **options: Unpack[JobOptions]
) -> Flow: ...
async def agroup(
    drafts: Iterable[Draft[Any]],
    /,
    *,
    then: Draft[Any] | None = None,
    within: object = None,
    **options: Unpack[JobOptions],
) -> Job[Any] | Flow:
    """Do what ``group`` does, without blocking the event loop; ``within`` is then a handle that is awaited."""
    common = _Common("agroup", options)
    stored = await _aput(_grouped(drafts, then, common), within, caller())
    return stored[-1] if then is not None else common.flow


# -- who waits for whom -----------------------------------------------------------------------------------------------
class _Common:
    """What all jobs of one call have in common."""

    def __init__(self, where: str, options: JobOptions) -> None:
        """Check the options."""
        self.where = where
        for name in _OF_ONE:
            if name in options:
                raise BadOption(f"{where}: '{name}' belongs to one job; give it with using({name}=…) to that draft.")
        given = check(options, where).given()
        self.flow = Flow(given.get("flow"))
        given["flow"] = self.flow.id
        self._first = Options(**given)
        self._later = Options(**{name: value for name, value in given.items() if name not in _OF_THE_FIRST})
        self._plans: dict[tuple[Plan, bool], Plan] = {}

    def draft(self, draft: Draft[R], *, first: bool) -> Draft[R]:
        """Return a draft with these options, and an id of its own."""
        if not isinstance(draft, Draft):
            raise TypeError(f"{self.where} takes drafts, made by queue.draft(fn, …), not {draft!r:.80}")
        plan = self._plans.get((draft._plan, first))
        if plan is None:
            plan = draft._plan.under(self._first if first else self._later)
            self._plans[draft._plan, first] = plan
        made = draft._under(plan)
        made._id = made._id or plan.fixed_id or new_id()
        return made

    def must_be_new(self, draft: Draft[Any]) -> None:
        """Refuse one that others wait for, if it may turn out to be another job, or none of this flow."""
        rules = draft._own[2]
        if rules.unique is not None and rules.on_conflict != "raise":
            raise BadOption(
                f"{self.where}: others wait for {draft!r}, which has a unique key: should another job hold that, they would "
                'wait for a job that is not stored. Nothing stored. Give it on_conflict="raise".'
            )
        if rules.flow != self.flow.id:
            raise BadOption(
                f"{self.where}: {draft!r} has a flow of its own, {rules.flow!r}, and this is flow {self.flow.id!r}. "
                "Nothing stored. Give flow= to the whole, or leave it out."
            )


def _chained(drafts: Sequence[Draft[Any]], common: _Common) -> list[Draft[Any]]:
    _check_number(len(drafts), common.where)
    links = [common.draft(draft, first=index == 0) for index, draft in enumerate(drafts)]
    _check_once(links, common.where)
    for before, link in pairwise(links):
        common.must_be_new(before)
        _wait(link, [str(before._id)])
    return links


def _grouped(drafts: Iterable[Draft[Any]], then: Draft[Any] | None, common: _Common) -> list[Draft[Any]]:
    if not isinstance(drafts, Iterable):
        raise TypeError(f"{common.where} takes a list of drafts, not {drafts!r:.80}")
    members = [common.draft(draft, first=True) for draft in drafts]
    _check_number(len(members), common.where)
    if then is None:
        return members
    for member in members:
        common.must_be_new(member)
    last = common.draft(then, first=False)
    _check_once([*members, last], common.where)
    if last._own[2].after_flow not in (None, common.flow.id):
        raise BadOption(
            f"{common.where}: then waits for this flow, and cannot wait for {last._own[2].after_flow!r} too."
        )
    last._own = *last._own[:2], last._own[2]._replace(after_flow=common.flow.id)
    return [*members, last]


def _wait(draft: Draft[Any], ids: list[str]) -> None:
    draft._own = *draft._own[:2], following(draft._own[2], ids)


def _check_number(number: int, where: str) -> None:
    if not 1 <= number <= _MOST:
        raise BadOption(
            f"{where} takes 1 to {_MOST:,} drafts, not {number:,}. Nothing stored. For more, store them with "
            "enqueue_many from a queue.using(flow=ID), and then what waits for them with using(after=Flow(ID))."
        )


def _check_once(drafts: list[Draft[Any]], where: str) -> None:
    if len({draft._id for draft in drafts}) < len(drafts):
        raise BadOption(
            f"{where}: a draft whose as_argument or id was asked for stands for one job, and is given here twice. "
            "Nothing stored. Make another draft of the same call."
        )


# -- storing ----------------------------------------------------------------------------------------------------------
def _put(drafts: list[Draft[Any]], within: object, by: str) -> list[Job[Any]]:
    connection, transaction = _where(drafts, within)

    def put(drafts: Sequence[Draft[Any]], by: str) -> list[Job[Any]]:
        if transaction is None:
            return _bulk.put(connection, drafts, by)
        transaction.must_be(is_async=False, verb="chain and group")
        return transaction.put(connection, drafts, by)

    return _bulk.put_within(None, put, drafts, by)


async def _aput(drafts: list[Draft[Any]], within: object, by: str) -> list[Job[Any]]:
    if within is None:
        return await _runtime.aside(_put, drafts, None, by)
    connection, transaction = _where(drafts, within)
    assert transaction is not None
    transaction.must_be(is_async=True, verb="achain and agroup")
    return await _bulk.aput_within(None, lambda: transaction.aput(connection, drafts, by), drafts)


def _where(drafts: list[Draft[Any]], within: object) -> tuple[Connection, Transaction | None]:
    sources = {draft._plan.source for draft in drafts}
    connections = {id(found): found for found in map(_runtime.connection, sources)}
    if len(connections) > 1:
        raise BadOption(
            "the drafts of one flow must be for one store, since they are stored all or none. Nothing stored."
        )
    (connection,) = connections.values()
    if within is None:
        return connection, None
    from ._within import Transaction

    return connection, Transaction(within, outbox=False, after_commit=False)
