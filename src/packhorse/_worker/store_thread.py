"""The thread that owns the store: settles, admits, claims; and does its share of the upkeep."""

from __future__ import annotations

import math
import queue
import threading
from collections.abc import Callable
from time import monotonic, monotonic_ns
from typing import Any

from .._admission import Admitted
from .._exchange import Ask, claimed, falls_short
from .._record import Claim, Settled
from .._rescue import EXCLUSIVE_PATIENCE, Spaced
from .._store import Store
from ..errors import PackhorseError, StoreFull, StoreUnavailable
from . import mailbox as m
from .admitting import Admitting
from .asking import Asking
from .config import Place
from .elsewhere import tell_elsewhere
from .exclusive import boottime
from .finishing import Finishing
from .firing import Firing
from .gathering import SETTLE_AT, Gathering
from .held import Held
from .hinting import Hinting
from .identity import Identity
from .limiting import Declared
from .locked import Locked
from .moved import Moved
from .news import Unreported
from .odd import judge
from .outage import Outage
from .recheck import recheck
from .shapes import verdicts_of
from .signing_on import give_up, introduce, sign_off
from .upkeep import AS_USUAL, Chores, upkeep_of

SETTLE_MOST, _NOTHING = 1000, Claim([], 0, False)


class StoreThread(threading.Thread):
    """Serves main's wishes, one call at a time; while the store is away it keeps what is to be settled and tries again."""

    def __init__(
        self,
        opener: Callable[[], Store],
        identity: Identity,
        queues: tuple[tuple[str, ...], ...] | None,
        main: m.Mailbox,
        held: Held,
        *,
        no_retry: bool = False,
        place: Place | None = None,
        limits: Declared | None = None,
        patience: float = EXCLUSIVE_PATIENCE,
        chores: Chores = AS_USUAL,
    ) -> None:
        """Nothing is opened before the thread runs. ``place``: where the store is, for messages. ``limits``: what the application
        declares. ``patience``: the worker's ``exclusive_patience``."""
        super().__init__(name="store", daemon=True)
        self.inbox: queue.SimpleQueue[object] = queue.SimpleQueue()
        self.armed = threading.Event()  #: a claim found nothing: hints are welcome
        self.turns = 0
        self.calling_since: float | None = None
        self._opener = opener
        self._identity = identity
        self.asking = Asking(queues)
        self._main = main
        self._held = held
        self._no_retry = no_retry
        self._store: Store | None = None
        self._ended: list[m.Done] = []
        self._locked = Locked()
        self._news = Unreported()
        self._taken = 0  #: messages about ended runs and side lines
        self._want: m.Want | None = None
        self._brought = 0  #: claims that brought jobs
        self._draining = False
        self._finishing = Finishing()
        self._look = True  #: something may be claimable
        self._short = False  #: the last claim left nothing to be claimed
        self.beats = Spaced()  #: the beat thread's
        self._firing = Firing(identity.host)
        self._upkeep = upkeep_of(identity, main, self.beats, patience, self._firing, chores)
        self._admitting = Admitting()
        self._gathering = Gathering()
        self._hinting = Hinting()
        self._place = place
        self._limits = limits or {}
        self.outage = Outage(place.described if place else "")
        self._rechecked = 0
        self._moved = Moved()

    # -- the loop -----------------------------------------------------------------------------------------------------
    def run(self) -> None:
        """Open the store, then serve until told to finish. A bug ends the worker: half alive it would only do harm."""
        try:
            self._serve()
        except Exception as error:
            self._main.put(m.Refused(error, 70))

    def _serve(self) -> None:
        if not self._open_first():
            return
        while True:
            self._receive()
            self.turns += 1
            if monotonic() >= self.outage.not_before:
                self._attempt()
            if self._finishing.by is not None and self._finished():
                return

    def _open_first(self) -> bool:
        while True:
            try:
                self._connect()
                return True
            except (StoreUnavailable, StoreFull) as error:
                if self._finishing.by is not None or self._no_retry:
                    told = error if self._place is None else self._place.unreachable(error)
                    self._main.put(m.Refused(told, 69) if self._finishing.by is None else m.Gone([]))
                    return False
                self._stumble(error, at_start=True)
                self._receive(max(0.0, self.outage.not_before - monotonic()))
            except Exception as error:
                self._main.put(m.Refused(error, 78 if isinstance(error, PackhorseError) else 70))
                return False

    def _connect(self) -> None:
        began = boottime()
        self._store = self._opener()
        introduce(self._store, self._identity, self._firing, self._limits)
        self._main.put(m.Opened(self._store.instance, self._store.url, self._store.capabilities.promise, began))

    def _attempt(self) -> None:
        try:
            self._work()
            if self.outage.over(monotonic(), self._rechecked):
                self._look = True
        except PackhorseError as error:
            self._stumble(error)
        finally:
            self.calling_since = None

    def _work(self) -> None:
        store = self._reopen()
        self.calling_since = monotonic()
        if self.outage.begun:
            self._rechecked = recheck(store, self._identity.id, self.asking.claim_no, self._held, self._main)
        if self._news:
            self._news.report(store, self._identity.id)  # before the settles: a run's last news bear its token
        if monotonic() >= self._locked.due:
            self._ended += self._locked.take()
        if self._ends_bring_jobs() and monotonic() >= self._gathering.exchange_at(True):
            self._exchange(store)
        if self._ended and self._settle_due():
            self._settle(store)
        if self._upkeep.notifying.tell(store):
            self._look = True
        if self._upkeep.promote(store):  # before the claim: with burst, finding nothing ends the worker
            self._look = True
        self._admit_and_claim(store)
        self._look = self._upkeep.chores(store) or self._look

    def _admit_and_claim(self, store: Store) -> None:
        """Whoever waited for what ended here goes first; else jobs that can be claimed do not wait for a look at those that
        cannot."""
        if store.freed and self._admitting.freed(monotonic()):
            self._let_go(store)
        self._claim_if_due(store)
        self._let_go(store)
        self._claim_if_due(store)

    def _claim_if_due(self, store: Store) -> None:
        wanted = self._want is not None and self._look and not self._draining
        if wanted and not self._ends_bring_jobs():
            self._claim(store)

    def _ends_bring_jobs(self) -> bool:
        """Tell whether slots are free while few outcomes wait: then these are settled and jobs claimed in one call."""
        free = self._want is not None and self._want.free > 0
        return free and not self._draining and 0 < len(self._ended) < SETTLE_AT

    def _reopen(self) -> Store:
        if self._store is None:
            self._connect()
        assert self._store is not None
        return self._store

    # -- waiting ------------------------------------------------------------------------------------------------------
    def _receive(self, at_least: float | None = None) -> None:
        """Wait for a message or a time, then take all that is there."""
        pause = self._pause() if at_least is None else at_least
        try:
            if pause > 0:
                self._accept(self.inbox.get(timeout=pause))
            while True:
                self._accept(self.inbox.get_nowait())
        except queue.Empty:
            pass

    def _pause(self) -> float:
        now = monotonic()
        if self.outage.not_before > now:
            return self.outage.not_before - now
        if self._finishing.by is not None:
            return 0.0 if self._ended else 0.01
        due = min(self._upkeep.next, self._locked.due, math.inf if self._draining else self._admitting.due)
        if self._ends_bring_jobs():
            due = min(due, self._gathering.exchange_at(True))
        elif self._ended:
            due = min(due, self._settle_at())
        return max(0.0, due - now)

    def _accept(self, item: object) -> None:
        match item:
            case m.Ended(runs, idle):
                self._take_ended(runs, idle)
            case m.Want():
                self._wish(item)
            case m.Hint():
                self._hinted()
            case m.Told(news):
                self._news.add(news)
            case m.Resolve(lines):
                self._serve_lines(lines)
            case _:
                self._accept_rare(item)

    def _wish(self, want: m.Want) -> None:
        # Else main counted its free slots before jobs that are on their way: it will ask anew.
        if want.received == self._brought:
            self._want = want
            self._admitting.wanted()
            if self._short and not self._look:
                self._found_nothing()
            self._look = self._look or not self._short

    def _accept_rare(self, item: object) -> None:
        match item:
            case m.Rescue():
                self._upkeep.rescue_now()
            case m.Drain():
                self._draining = True
                self._want = None
                self._if_there(lambda store: store.stopping(self._identity.id))
            case m.Reborn():
                self._begin_anew()
            case m.Finish(deadline):
                self._finishing.begin(deadline, self._store is None, self.outage.not_before - monotonic())

    def _take_ended(self, runs: list[m.Done], idle: bool) -> None:
        self._taken += 1
        if not self._ended:
            self._gathering.oldest = monotonic()
        self._ended.extend(runs)
        self._gathering.idle = idle

    def _hinted(self) -> None:
        changed = self._store is None or self._if_there(self._hinting.follow)
        if changed:
            self._look = True
            self._upkeep.look()
            self._admitting.hinted()
        elif changed is not None and self._want is not None:
            self.armed.set()

    def _if_there(self, call: Callable[[Store], Any]) -> Any:
        """Return the answer to a small call between others; None where the store is away."""
        try:
            return None if self._store is None else call(self._store)
        except PackhorseError as error:
            self._stumble(error)
            return None

    # -- settling -----------------------------------------------------------------------------------------------------
    def _settle_due(self) -> bool:
        return self._finishing.by is not None or monotonic() >= self._settle_at()

    def _settle_at(self) -> float:
        return self._gathering.settle_at(len(self._ended), self._want is not None or self._draining)

    def _settle(self, store: Store) -> None:
        while self._ended:
            batch = self._ended[:SETTLE_MOST]
            self._settled(batch, store.settle(self._identity.id, verdicts_of(batch, monotonic_ns())))
            if len(self._ended) < SETTLE_AT:
                break

    def _settled(self, batch: list[m.Done], odd: list[Settled]) -> None:
        del self._ended[: len(batch)]
        settled, locked = judge(batch, odd)
        self._locked.keep(locked)
        self._held.settled(settled)
        tell_elsewhere(settled, odd, self._main)
        self._upkeep.notifying.settled(settled, odd)
        self._upkeep.expect(settled)
        self._look = True  # what ended may have enqueued, or be queued again

    # -- admitting and claiming ---------------------------------------------------------------------------------------
    def _let_go(self, store: Store) -> None:
        """Make jobs claimable that have waited for others, if it is time to look for them."""
        now = monotonic()
        if self._draining or now < self._admitting.due:
            return
        answer = store.admit()
        self._looked(answer)
        if not answer.admitted and self._want is not None and not self._look:
            self._say_nothing()

    def _looked(self, answer: Admitted) -> None:
        self._admitting.asked(answer, monotonic(), idle=self._want is not None)
        self._look = self._look or bool(answer.admitted)

    def _say_nothing(self) -> None:
        """Tell that nothing could run now; with what may change that still before us, it is said again later."""
        unsure = self._ended or self._locked or self._upkeep.notifying.waits or self._admitting.due <= monotonic()
        self._main.put(m.Nothing(-1 if unsure else self._taken))

    def _claim(self, store: Store) -> None:
        ask = self._ask()
        self._claimed(ask, self._moved.look(lambda: claimed(store, self._identity.id, ask)) or _NOTHING)

    def _exchange(self, store: Store) -> None:
        """Settle what has ended and claim for the slots that are free, in one call; those who waited for the one go with it."""
        batch, ask = self._ended[:SETTLE_MOST], self._ask()
        look = self._admitting.goes_first(batch, monotonic())
        began, verdicts = monotonic(), verdicts_of(batch, monotonic_ns())
        answer = self._moved.look(lambda: store.exchange(self._identity.id, verdicts, ask, look=look))
        self._gathering.took(monotonic() - began, batch)
        if answer is not None:
            self._settled(batch, answer.settled)
            if answer.admitted is not None:
                self._looked(answer.admitted)
        self._claimed(ask, answer.claim if answer is not None else _NOTHING)

    def _ask(self) -> Ask:
        assert self._want is not None
        self.armed.clear()
        return self.asking.ask(self._want)

    def _claimed(self, ask: Ask, claim: Claim) -> None:
        self._held.claimed(ask.claim_no, claim.jobs)
        self._admitting.claimed(bool(claim.jobs), monotonic(), scarce=falls_short(claim, ask))
        self._short = falls_short(claim, ask) and not claim.more
        self._look = self._look and not self._short
        if claim.jobs:
            self._want = None
            self._brought += 1
            self._main.put(m.Jobs(claim.jobs))
        else:
            self._found_nothing()

    def _found_nothing(self) -> None:
        self._look = False
        self._say_nothing()
        self.armed.set()

    # -- side lines ---------------------------------------------------------------------------------------------------
    def _serve_lines(self, lines: list[str]) -> None:
        self._taken += 1
        self.asking.serve(lines)
        if self._if_there(lambda store: store.resolve(lines)):
            self._look = True

    def _begin_anew(self) -> None:
        """Our old self is dead in the store; its jobs belong to others."""
        self._held.clear()
        self._ended.clear()
        self._locked.take()
        self._news.clear()
        self._want = None  # but the claims are numbered on: a beat under way may bear the last number
        self._drop_store()
        self._identity.renew()

    # -- trouble ------------------------------------------------------------------------------------------------------
    def _stumble(self, error: PackhorseError, *, at_start: bool = False) -> None:
        """Drop the connection (never patch one) and wait a little longer each time."""
        self._drop_store()
        self.outage.failed(error, monotonic(), at_start=at_start)
        self._finishing.failed()
        self._main.put(m.Nothing(-1))  # whatever was found before: the lost answer may have brought jobs

    def _drop_store(self) -> None:
        store, self._store = self._store, None
        if store is not None:
            give_up(store)

    # -- the end ------------------------------------------------------------------------------------------------------
    def _finished(self) -> bool:
        left = self._held.jobs()  # what a claim brought after main had counted is on its way back from there
        signed_off = not left and bool(self._if_there(lambda store: sign_off(store, self._identity)))
        if not signed_off and self._finishing.waits(bool(left), self._store is None, monotonic()):
            return False
        self._drop_store()
        self._main.put(m.Gone(left, signed_off))
        return True
