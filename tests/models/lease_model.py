"""A model of claim, beat, rescue and settle, searched breadth first to its last state: one job, two slots of one worker.

It shows which guard on a settle is enough, and that a claim whose reply was lost needs the reconciliation of beats.
Run it (``python tests/models/lease_model.py``) for the table.

guard    a settle is applied if …
id       the job has this id
state    … and is running
owner    … and belongs to this worker (both slots share its id)
fence    … and has the number of this claim, counted by the store
token    … and has the random token of this claim
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

GUARDS = ("id", "state", "owner", "fence", "token")
MAX_CLAIMS = 4
MAX_CRASHES = 2
FINAL = ("succeeded", "failed")


class Job(NamedTuple):
    """The job as it is stored."""

    state: str = "queued"
    fence: int = 0
    owner: int = -1  #: the slot it was claimed for
    token: int = 0
    result: int = 0  #: fence of the claim whose result is stored
    crashes: int = 0
    ghost: bool = False  #: the reply of its claim was lost


class Slot(NamedTuple):
    """What a slot believes."""

    phase: str = "idle"  #: idle, running, or done and about to settle
    fence: int = 0
    token: int = 0


class World(NamedTuple):
    """Everything there is."""

    job: Job = Job()
    slots: tuple[Slot, Slot] = (Slot(), Slot())
    next_token: int = 1
    copy: Job = Job()  #: of the job on a replica that lags behind
    ghosts: int = 0
    failovers: int = 0


class Step(NamedTuple):
    """One move, where it leads, and what it broke."""

    name: str
    world: World
    broken: str | None = None


@dataclass(frozen=True)
class Rules:
    """One variant of the protocol."""

    guard: str
    reconcile: bool = True  #: beats put back what was claimed but never received
    failover: bool = False  #: the store may fall back to an older copy of the job


@dataclass(frozen=True)
class Verdict:
    """What the search found."""

    states: int
    broken: str | None  #: the first law broken
    trace: tuple[str, ...]  #: the shortest way there
    stuck: int  #: states from which the job can never end


def admits(rules: Rules, job: Job, slot: Slot) -> bool:
    """Tell whether the guard lets this slot settle the job."""
    if rules.guard == "id":
        return True
    if job.state != "running":
        return False
    return {
        "state": True,
        "owner": job.owner >= 0,
        "fence": job.fence == slot.fence,
        "token": job.token == slot.token,
    }[rules.guard]


def steps(world: World, rules: Rules) -> Iterator[Step]:
    """Yield every move that is possible."""
    for number in (0, 1):
        yield from _claims(world, number)
        yield from _ends(world, number, rules)
    yield from _rescues(world, rules)
    if rules.failover and world.failovers < 1:
        yield Step("replica catches up", world._replace(copy=world.job))
        yield Step("failover to the older copy", world._replace(job=world.copy, failovers=1))


def _with_slot(world: World, number: int, slot: Slot) -> World:
    first, second = world.slots
    return world._replace(slots=(slot, second) if number == 0 else (first, slot))


def _claims(world: World, number: int) -> Iterator[Step]:
    job = world.job
    if job.state != "queued" or job.fence >= MAX_CLAIMS or world.slots[number].phase != "idle":
        return
    claimed = job._replace(state="running", fence=job.fence + 1, owner=number, token=world.next_token, ghost=False)
    after = world._replace(job=claimed, next_token=world.next_token + 1)
    yield Step(f"slot {number} claims", _with_slot(after, number, Slot("running", claimed.fence, claimed.token)))
    if world.ghosts < 1:
        lost = after._replace(job=claimed._replace(ghost=True), ghosts=world.ghosts + 1)
        yield Step(f"slot {number} claims, reply lost", lost)


def _ends(world: World, number: int, rules: Rules) -> Iterator[Step]:
    slot = world.slots[number]
    if slot.phase == "idle":
        return
    if slot.phase == "running":
        yield Step(f"slot {number} is done", _with_slot(world, number, slot._replace(phase="done")))
    else:
        yield from _settles(world, number, rules)
    yield Step(f"slot {number} is killed", _with_slot(world, number, Slot()))


def _settles(world: World, number: int, rules: Rules) -> Iterator[Step]:
    job, slot = world.job, world.slots[number]
    if not admits(rules, job, slot):
        yield Step(f"slot {number} is refused", _with_slot(world, number, Slot()))
        return
    broken = _broken(job, slot)
    settled = world._replace(job=job._replace(state="succeeded", result=slot.fence))
    yield Step(f"slot {number} settles", _with_slot(settled, number, Slot()), broken)
    # Applied, but the reply is lost, so the same settle will come again.
    yield Step(f"slot {number} settles, reply lost", settled, broken)


def _broken(job: Job, slot: Slot) -> str | None:
    repeated = job.state == "succeeded" and job.token == slot.token
    if job.state in FINAL:
        return None if repeated else "an ended job was overwritten by a stale attempt"
    return None if job.token == slot.token else "the result of an old attempt was taken for that of a newer one"


def _rescues(world: World, rules: Rules) -> Iterator[Step]:
    """Rescue a running job; its owner may be alive, since a pause looks like death."""
    job = world.job
    # The worker of a ghost is alive and beats, so nobody rescues it: only a beat that says what is held can tell.
    if job.state != "running" or (job.ghost and not rules.reconcile):
        return
    crashes = job.crashes + (not job.ghost)
    again = crashes <= MAX_CRASHES and job.fence < MAX_CLAIMS
    rescued = job._replace(state="queued" if again else "failed", owner=-1, crashes=min(crashes, MAX_CRASHES + 1))
    owner = world.slots[job.owner]
    wrongly = owner.phase != "idle" and owner.token == job.token
    yield Step("rescued, wrongly" if wrongly else "rescued", world._replace(job=rescued))


def search(rules: Rules) -> Verdict:
    """Visit every state that can be reached."""
    start = World()
    came_from: dict[World, tuple[World, str] | None] = {start: None}
    before: dict[World, list[World]] = {}
    broken: str | None = None
    trace: tuple[str, ...] = ()
    todo = deque([start])
    while todo:
        world = todo.popleft()
        for step in steps(world, rules):
            before.setdefault(step.world, []).append(world)
            if step.broken and not broken:
                broken, trace = step.broken, (*_way(came_from, world), step.name)
            if step.world not in came_from:
                came_from[step.world] = (world, step.name)
                todo.append(step.world)
    return Verdict(len(came_from), broken, trace, len(came_from) - len(_can_end(came_from, before)))


def _way(came_from: dict[World, tuple[World, str] | None], world: World) -> tuple[str, ...]:
    names: list[str] = []
    while (origin := came_from[world]) is not None:
        world = origin[0]
        names.append(origin[1])
    return tuple(reversed(names))


def _can_end(worlds: dict[World, tuple[World, str] | None], before: dict[World, list[World]]) -> set[World]:
    """Return all states from which the job can still end."""
    good = {world for world in worlds if world.job.state in FINAL}
    todo = deque(good)
    while todo:
        for earlier in before.get(todo.popleft(), ()):
            if earlier not in good:
                good.add(earlier)
                todo.append(earlier)
    return good


def _table() -> None:
    variants = [
        *(Rules(guard) for guard in GUARDS),
        Rules("token", reconcile=False),
        Rules("fence", failover=True),
        Rules("token", failover=True),
    ]
    for rules in variants:
        found = search(rules)
        print(f"{rules}: {found.states} states, {found.broken or 'safe'}, {found.stuck} stuck")
        if found.trace:
            print("    " + " → ".join(found.trace))


if __name__ == "__main__":
    _table()
