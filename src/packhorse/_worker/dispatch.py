"""Which child gets which job, and how much to ask the store for."""

from __future__ import annotations

from collections.abc import Callable
from operator import itemgetter
from time import monotonic
from typing import TYPE_CHECKING

from .._record import Claimed
from . import mailbox as m
from .child_process import ChildProcess
from .pace import Pace

if TYPE_CHECKING:
    from .supervisor import Supervisor

#: One claim brings at most so many: larger batches make the store's transactions long.
_MOST = 2000

#: A claimed function that finds no slot, because commands have them, goes back after so many seconds.
_BACK_AFTER = 0.15

_TASK, _SUSPECT = map(itemgetter, map(Claimed._fields.index, ("task", "suspect")))

Share = tuple[ChildProcess, list[Claimed]]


class Dispatch:
    """Gives claimed jobs to children and asks for more in time."""

    def __init__(self, supervisor: Supervisor) -> None:
        """Serve this supervisor."""
        self._supervisor = supervisor
        self._slots = supervisor.config.slots_per_child
        self._application = bool(supervisor.config.app)
        self._single_use = supervisor.config.max_jobs == 1
        self.pace = Pace()
        self.waiting: list[Claimed] = []  #: claimed, but no child could take them yet
        self._brought_commands = (
            False  #: the latest claim did; what it brings ahead of free slots may be commands, and would go back
        )
        self._crowded: float | None = None  #: since when functions wait because of commands
        self._asked: m.Want | None = None  #: a claim under way
        self._received = 0  #: claims that brought jobs
        self._alone = False  #: the last job claimed is of those that are never claimed ahead

    def count(self) -> None:
        """Note that a claim has brought jobs, whatever becomes of them."""
        self._received += 1

    def forget_asked(self) -> None:
        """The store thread began anew: whatever was asked must be asked again."""
        self._asked = None

    def received(self, jobs: list[Claimed]) -> None:
        """Take what a claim brought."""
        self._asked = None
        self.pace.claimed({job[3] for job in jobs})
        self._alone = bool(jobs) and (jobs[-1].crash_fails or jobs[-1].holds is not None)
        self._place(jobs)

    def retry(self) -> None:
        """Place jobs that found no child before."""
        if self.waiting:
            jobs, self.waiting = self.waiting, []
            self._place(jobs)
            self._give_back_functions()
        if self._supervisor.crew.broken:
            # No child will come for them soon; a healthy worker may have one.
            self._supervisor.give_back(self.take_waiting(), "its worker cannot start a process")

    def _give_back_functions(self) -> None:
        """Functions that wait because commands have the slots go back in time, as those do whose child is busy."""
        if not self.waiting or not self._supervisor.commanding.busy:
            self._crowded = None
            return
        self._crowded = self._crowded or monotonic()
        if monotonic() - self._crowded >= _BACK_AFTER:
            commanding = self._supervisor.commanding
            back = [job for job in self.waiting if not commanding.is_command(job.task)]
            self.waiting = [job for job in self.waiting if commanding.is_command(job.task)]
            self._crowded = None
            self._supervisor.give_back(back)

    def drop(self, keys: set[tuple[str, str]]) -> list[Claimed]:
        """Give up those of what waits that these (job, token) name."""
        dropped = [job for job in self.waiting if job[:2] in keys] if self.waiting else []
        if dropped:
            self.waiting = [job for job in self.waiting if job[:2] not in keys]
        return dropped

    def take_waiting(self) -> list[Claimed]:
        """Give up what waits."""
        jobs, self.waiting = self.waiting, []
        return jobs

    # -- asking -------------------------------------------------------------------------------------------------------
    def ask(self) -> None:
        """Ask for more work when the slots have less than half of what they could have."""
        crew, store = self._supervisor.crew, self._supervisor.store
        if self.waiting or store is None or crew.broken:
            return
        busy = self._supervisor.commanding.busy
        plain = self._application and not busy and not self._brought_commands
        want = self._wanted(crew.serving()) if plain else self._wanted_beside(busy)
        if want is None or (self._asked is not None and want.free <= self._asked.free):
            # What is under way may bring as much: asking again would only wake the store thread.
            return
        self._asked = want
        store.inbox.put(want)

    def _wanted(self, serving: list[ChildProcess]) -> m.Want | None:
        serving = [child for child in serving if not child.solo]  # the others go on beside a suspect
        slots = len(serving) * self._slots
        busy = sum(len(child.jobs) for child in serving)
        target = min(_MOST, slots * (1 + self._ahead()))
        if busy >= slots and busy * 2 > target:
            return None
        # Slot by slot: work ahead of one child takes no slot of another, and what reserves something goes to free ones only.
        free = sum(max(0, self._slots - len(child.jobs)) for child in serving)
        ahead = max(0, target - max(busy, slots))
        return m.Want(free, ahead, self._received) if free + ahead > 0 else None

    def _wanted_beside(self, commands: int) -> m.Want | None:
        """The same while commands take slots: then nothing is claimed ahead, since one of the slots it would go to is theirs."""
        free = self._free(commands)
        return m.Want(free, 0, self._received) if free > 0 else None

    def _free(self, commands: int) -> int:
        """Return how many slots neither a function nor a command has."""
        free = self._supervisor.config.slots - commands
        serving = self._supervisor.crew.serving()
        if self._application:
            able = sum(max(0, self._slots - len(child.jobs)) for child in serving if not child.solo)
            return max(0, min(able, free - sum(min(self._slots, len(child.jobs)) for child in serving)))
        return max(0, free)

    def _ahead(self) -> int:
        return 0 if self._single_use or self._alone else self.pace.ahead(self._supervisor.timers.ages())

    # -- placing ------------------------------------------------------------------------------------------------------
    def _place(self, jobs: list[Claimed]) -> None:
        commanding = self._supervisor.commanding
        if commanding.among(set(map(_TASK, jobs))):
            self._brought_commands = True
            self._place_commands(jobs)
            return
        self._brought_commands = False
        commands = commanding.busy
        if commands:
            room = self._free(commands)
            self.waiting.extend(jobs[room:])
            jobs = jobs[:room]
        self._place_functions(jobs)

    def _place_commands(self, jobs: list[Claimed]) -> None:
        """Place a claim that brought commands. They go first: functions go ahead of free slots, and commands never do."""
        commanding = self._supervisor.commanding
        commands = [job for job in jobs if commanding.is_command(job.task)]
        left = commanding.place(commands, self._free(commanding.busy))
        self.waiting.extend(left)
        functions = [job for job in jobs if not commanding.is_command(job.task)]
        room = 0 if left else self._free(commanding.busy)
        self.waiting.extend(functions[room:])
        self._place_functions(functions[:room])

    def _place_functions(self, jobs: list[Claimed]) -> None:
        rest = jobs
        if True in map(_SUSPECT, jobs):
            for job in jobs:
                if job.suspect:
                    self._give_alone(job)
            rest = [job for job in jobs if not job.suspect]
        crew = self._supervisor.crew
        children = [child for child in crew.serving() if not child.solo]
        room = self._room_beside if self._supervisor.commanding.busy else crew.room
        shares, left = share_out(children, rest, room)
        for child, part in shares:
            if part:
                child.give(part)
                self._supervisor.watch_backlog(child)
        self.waiting.extend(left)

    def _room_beside(self, child: ChildProcess) -> int:
        """Return how many more jobs a child may be given while commands take slots: none ahead."""
        room, free = self._supervisor.crew.room(child), max(0, self._slots - len(child.jobs))
        return free if room is None else min(room, free)

    def _give_alone(self, job: Claimed) -> None:
        """A suspect runs in a child that has nothing else; until one is free it waits."""
        for child in self._supervisor.crew.serving():
            if not child.jobs and not child.solo:
                child.solo = self._slots > 1
                child.give([job])
                self._supervisor.watch_backlog(child)
                return
        self.waiting.append(job)


def share_out(
    children: list[ChildProcess], jobs: list[Claimed], room: Callable[[ChildProcess], int | None]
) -> tuple[list[Share], list[Claimed]]:
    """Split jobs so that the children end up with about as many each, ranks interleaved; return also what found no room."""
    if not children or not jobs:
        return [], jobs
    counts = [len(child.jobs) for child in children]
    limits = [room(child) for child in children]
    if len(set(counts)) == 1 and not any(limit is not None for limit in limits):
        return [(child, jobs[n :: len(children)]) for n, child in enumerate(children)], []
    shares: list[list[Claimed]] = [[] for _ in children]
    able = [n for n, limit in enumerate(limits) if limit is None or limit > 0]
    for place, job in enumerate(jobs):
        if not able:
            return list(zip(children, shares, strict=True)), jobs[place:]
        n = min(able, key=counts.__getitem__)
        counts[n] += 1
        shares[n].append(job)
        limit = limits[n]
        if limit is not None and len(shares[n]) >= limit:
            able.remove(n)
    return list(zip(children, shares, strict=True)), []
