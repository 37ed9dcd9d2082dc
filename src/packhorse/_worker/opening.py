"""From the application's import to the store's first answer: which store it is, whether it can be used, what begins then."""

from __future__ import annotations

import logging
from time import monotonic
from typing import TYPE_CHECKING, Any

from .._url import kind_of
from ..errors import ConfigError, TaskNameTaken
from . import mailbox as m
from .access import Access
from .banner import banner
from .beat_thread import BeatThread, Pulse
from .child_process import ChildProcess
from .limiting import declared_limits
from .store_thread import StoreThread
from .upkeep import Chores

if TYPE_CHECKING:
    from .supervisor import Supervisor

_log = logging.getLogger("packhorse.worker")

#: A start says what it waits for after so many seconds.
SAY_AFTER = 3.0
#: With ``--no-retry`` it ends after so many, whatever the store's own patience is.
END_AFTER = 10.0


class Opening:
    """The first child tells of the application, and with it of the store; the store, once open, lets the worker begin."""

    def __init__(self, supervisor: Supervisor) -> None:
        """Not begun."""
        self._supervisor = supervisor
        self._began: float | None = None
        self._said = False

    # -- the application ----------------------------------------------------------------------------------------------
    def said_hello(self, child: ChildProcess) -> None:
        """The first child has imported the application: now we know which store."""
        supervisor = self._supervisor
        assert child.hello is not None
        if child.commands and supervisor.store is not None:
            return  # it imports no application
        if supervisor.plain is None or supervisor.store is None:
            supervisor.plain = child.hello["plain"]
            if not self._take_catalogue(child.hello["catalogue"]):
                return
            supervisor.errands.hooked = child.hello["after"]
            self._open()
        elif child.hello["plain"] != supervisor.plain and supervisor.config.plain is None:
            _log.error(
                "child %d imported another application than the first: %s instead of %s; was the code changed? Start "
                "the worker anew.",
                child.pid,
                child.hello["plain"],
                supervisor.plain,
            )

    def _take_catalogue(self, told: dict[str, Any]) -> bool:
        """Keep what the child told of its tasks, and the commands of the config file beside them."""
        supervisor = self._supervisor
        catalogue = told
        if supervisor.config.tasks:
            from .._catalogue import (
                with_commands,
            )  # it brings a part of what children need, and most supervisors do not

            try:
                catalogue = with_commands(told, supervisor.config.tasks)
            except TaskNameTaken as error:
                self.refuse(error, 78)
                return False
        programs = list(supervisor.commanding.patterns)
        supervisor.identity.catalogue = {**catalogue, "commands": programs} if programs else catalogue
        return True

    def refused(self, child: ChildProcess, code: str, text: str) -> None:
        """A child could not import the application. At start that ends the worker; later it is tried again."""
        supervisor = self._supervisor
        if child.commands and supervisor.opened:
            _log.error("commands cannot be run: %s", text)
        elif not supervisor.opened and supervisor.store is None:
            supervisor.say(f"packhorse worker: {text}")
            supervisor.leave(78 if code != "E130" else 73)
        else:
            _log.error("a new child cannot import the application: %s", text)

    # -- the store ----------------------------------------------------------------------------------------------------
    def _open(self) -> None:
        supervisor, config = self._supervisor, self._supervisor.config
        assert supervisor.plain is not None
        try:
            limits = declared_limits(supervisor.plain, config)
            place = supervisor.at = supervisor.connect(supervisor.plain)
            if place.url.startswith("memory:"):
                raise ConfigError(
                    f"{place.url} lives in one process only, so no worker can share it. Name a file: sqlite:///jobs.db"
                )
        except Exception as error:
            self.refuse(error, 78)
            return
        access = supervisor.access = Access(place)
        supervisor.store = StoreThread(
            access.open, supervisor.identity, config.queues, supervisor.mailbox, supervisor.held,
            no_retry=config.no_retry, place=place, limits=limits, patience=config.exclusive_patience,
            chores=Chores(config.retention, config.notify),
        )  # fmt: skip
        supervisor.store.start()
        self._began = monotonic()

    def refuse(self, error: Exception, code: int) -> None:
        """End the worker, since going on is useless."""
        if code == 70:
            _log.critical("internal error", exc_info=error)
        self._supervisor.say(f"packhorse worker: {error}")
        self._supervisor.leave(code)

    def store_opened(self, store: m.Opened) -> None:
        """The store answers, and knows this worker: for the first time, again, or under a new id."""
        supervisor = self._supervisor
        if supervisor.reborn or not supervisor.opened:
            supervisor.exclusive.contact.since = store.began
        supervisor.reborn = False
        supervisor.dispatch.forget_asked()
        if supervisor.place is not None:
            supervisor.place.update(worker=supervisor.identity.name, id=supervisor.identity.id)  # both may be new
        if not supervisor.opened and not supervisor.ending.begun:
            self._begin(store)

    def _begin(self, store: m.Opened) -> None:
        supervisor, at = self._supervisor, self._supervisor.at
        assert at is not None
        assert supervisor.store is not None
        assert supervisor.access is not None
        supervisor.opened = True
        identity = supervisor.identity
        supervisor.place = {"url": at.url, "namespace": at.namespace, "worker": identity.name, "id": identity.id}
        for child in supervisor.crew.children.values():
            supervisor.tell_place(child)
        pulse = Pulse(lambda: supervisor.turns, supervisor.store)
        supervisor.beat = BeatThread(
            supervisor.access.open, identity, supervisor.store, supervisor.mailbox, supervisor.held, pulse,
            supervisor.exclusive.contact,
        )  # fmt: skip
        supervisor.beat.start()
        supervisor.relaying.begin(supervisor.plain, supervisor.access.open)
        supervisor.say(banner(supervisor.config, identity.name, at, store, identity.catalogue))

    # -- waiting for it -----------------------------------------------------------------------------------------------
    def look(self, now: float) -> None:
        """Say what there is to say."""
        supervisor = self._supervisor
        if self._began is None or supervisor.opened or supervisor.at is None:
            return
        if supervisor.store is not None and supervisor.store.outage.begun:
            self._said = True  # it has said so itself, and why
        waited = now - self._began
        if waited >= SAY_AFTER and not self._said:
            self._said = True
            supervisor.say(
                f"packhorse worker: waiting for the store  {supervisor.at.described}: no answer for {SAY_AFTER:g} s"
                + ("; another program may hold it locked" if kind_of(supervisor.at.url) == "SQLite" else "")
            )
        if waited >= END_AFTER and supervisor.config.no_retry:
            supervisor.say(f"packhorse worker: no answer for {END_AFTER:g} s, and --no-retry was given  [E101]")
            supervisor.leave(69)
