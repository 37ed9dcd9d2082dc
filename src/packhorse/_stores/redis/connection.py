"""The part of the store that all verbs stand on: one link, opened when needed, and dropped at the first sign of trouble."""

from __future__ import annotations

import logging
import os
import secrets
import time
from collections.abc import Sequence
from typing import Any

from redis.exceptions import RedisError

from ..._closed import refusal
from ..._store import Capabilities, Clock
from ...errors import PackhorseError, SchemaGone, StoreError, StoreUnavailable
from . import server as servers
from .address import locate
from .failures import code_of, is_answer, translated
from .link import Link, connect
from .migrate import identify

_log = logging.getLogger("packhorse.store")
#: A connection that was idle for so long is looked at before it is used: the server may have gone meanwhile.
_IDLE = 1.0

Argument = str | bytes | int


class Connection:
    """Connects, runs scripts, and says what went wrong."""

    capabilities = Capabilities(scheme="redis", durable=True, processes=True, hints=True)
    #: A call that is not answered after so many seconds ends with StoreUnavailable. Who must not wait so long sets less.
    patience = 15.0

    def __init__(
        self, url: str, namespace: str = "default", clock: Clock | None = None, *, create: bool = True
    ) -> None:
        self._address = locate(url)
        self.url = self._address.shown
        self.namespace = self._address.url.options.get("namespace") or namespace
        self.instance = ""
        self.freed = False
        self._key = f"packhorse:{{{self.namespace}}}"
        self._clock = clock
        self._link: Link | None = None
        self._pid = os.getpid()
        self._closed = False
        self._used = 0.0  #: when the link was last used, on the monotonic clock
        self._identity = ""  #: instance and format, as stored
        self._me = secrets.token_hex(8)  #: my name among those who wait
        self._total = 0  #: the sum of the numbers that grow with every change, as seen last
        self._mine = 0  #: how much of it was mine
        #: What never changes once it is stored: queue and task by kind, and the kind of a queue's task in a priority
        #: whose line is known.
        self._kinds: dict[str, tuple[str, str]] = {}
        self._plain_kinds: dict[tuple[str, str, int], str] = {}
        self._open(create)

    # -- opening ------------------------------------------------------------------------------------------------
    def _open(self, create: bool) -> Link:
        first = not self.instance
        try:
            link = connect(self._address, self._key, self.patience, first=first)
        except (RedisError, OSError) as error:
            raise translated(error, self.url) from error
        try:
            self._identity = identify(link, self._key, self.url, create=create and first, known=self.instance)
        except (RedisError, OSError) as error:
            link.close()
            raise translated(error, self.url) from error
        except BaseException:
            link.close()
            raise
        self.instance = self._identity.partition(":")[0]
        promise = servers.promise(link.server, self._address.fsync)
        self.capabilities = self.capabilities._replace(promise=promise)
        self._link, self._used = link, time.monotonic()
        self._look_for_losses(link)
        return link

    def _live(self) -> Link:
        """Return the link, made anew where it was lost or came over a fork."""
        if self._closed:
            raise StoreUnavailable(f"this handle on {self.url} is closed. Open another.")
        if self._pid != os.getpid():
            self._forked()
        link = self._link
        if link is not None:
            if time.monotonic() - self._used < _IDLE or not link.is_stale():
                return link
            self._drop()
        return self._open(create=False)

    def _forked(self) -> None:
        """Leave the parent's connection to the parent."""
        self._pid = os.getpid()
        self._link = None
        self._me = secrets.token_hex(8)

    def _drop(self) -> None:
        link, self._link = self._link, None
        if link is not None and self._pid == os.getpid():
            link.close()

    def close(self) -> None:
        """Give the connection back. Closing twice is fine."""
        self._closed = True
        self._drop()

    # -- running ------------------------------------------------------------------------------------------------
    def _run(self, verb: str, *arguments: Argument) -> Any:
        """Run a verb's script and return its answer, or raise what the failure means."""
        now = "" if self._clock is None else self._clock()
        words = (self._identity, now, self._me, *arguments)
        try:
            answer = self._ask_right_node(verb, words)
        except (RedisError, OSError) as error:
            raise self._failed(error) from error
        except BaseException:
            self._drop()  # an answer may be under way: the connection is out of step
            raise
        self._used = time.monotonic()
        return answer

    def _knows(self, *verbs: str) -> bool:
        """Tell whether the server has the scripts of these verbs, as far as is known here."""
        return self._live().has_run.issuperset(verbs)

    def _run_all(self, calls: Sequence[tuple[str, Sequence[Argument]]]) -> list[Any]:
        """Run the scripts of verbs one after the other, all sent at once; return their answers, or raise the first failure."""
        now = "" if self._clock is None else self._clock()
        words = [(verb, (self._identity, now, self._me, *arguments)) for verb, arguments in calls]
        try:
            answers = self._live().run_all(self._key, words, self.patience)
        except (RedisError, OSError) as error:
            if code_of(error) == "MOVED" and self._address.cluster:
                return [self._run(verb, *arguments) for verb, arguments in calls]
            raise self._failed(error) from error
        except BaseException:
            self._drop()
            raise
        self._used = time.monotonic()
        return answers

    def _ask_right_node(self, verb: str, words: Sequence[Argument]) -> Any:
        """Run a script; once more if the slot has moved to another node of the cluster, which refused it without doing
        anything."""
        try:
            return self._live().run(verb, self._key, words, self.patience)
        except RedisError as error:
            if code_of(error) != "MOVED" or not self._address.cluster:
                raise
        self._drop()
        return self._live().run(verb, self._key, words, self.patience)

    def _wait_for_disk(self) -> None:
        """With durability=fsync: return only when what was just done is on the server's disk."""
        link = self._link
        if not self._address.fsync or link is None or not servers.waits(link.server, True):
            return
        try:
            synced = link.ask("WAITAOF", 1, 0, int(self.patience * 1000), patience=self.patience + 1)
        except (RedisError, OSError) as error:
            raise self._failed(error) from error
        if not synced[0]:
            raise StoreUnavailable(
                f"{self.url}: the server did not bring the change to its disk in time; it may be lost."
            )

    def _failed(self, error: Exception) -> PackhorseError:
        """Return what a failure means; the link is dropped unless the server answered in order."""
        if code_of(error) == "GONE":
            return self._gone()
        if not is_answer(error):
            self._drop()
        found = translated(error, self.url)
        if code_of(error) == "NOPERM" and self._link is not None:
            from .acl import denied  # needed once, when something is wrong with the user

            found = denied(self._link, self._key, self.url) or found
        return found

    def _gone(self) -> PackhorseError:
        """Return why the namespace is not the one that was opened."""
        link = self._live()
        try:
            identify(link, self._key, self.url, create=False, known=self.instance)
        except (RedisError, OSError) as error:
            return translated(error, self.url)
        except StoreError as error:
            return error
        self._drop()  # the format was brought up meanwhile
        return SchemaGone(f"{self.url}: the format of the stored jobs has just changed; nothing was stored. Try again.")

    # -- changes ------------------------------------------------------------------------------------------------
    def _did(self, changes: int, stirred: int = 0) -> None:
        """Remember that so much of what has changed was done here, and whether a waiting job may go now."""
        self._mine += changes
        if stirred:
            self.freed = True

    def _look_for_losses(self, link: Link) -> None:
        """Notice a server that knows of fewer changes than were acknowledged: a failover, or a restart from its disk."""
        try:
            total = sum(int(number or 0) for number in link.ask("HMGET", self._key, "seq", "v"))
        except (RedisError, OSError) as error:
            raise self._failed(error) from error
        lost = self._total + self._mine - total
        if self._total and lost <= 0:
            return
        self._total, self._mine = total, 0
        if lost > 0:
            _log.warning(
                "%s: the server has lost changes that it had acknowledged (at least %d): it came back from its disk, or a "
                "replica took over that had not received them. Jobs enqueued in the last moments may be missing; jobs that "
                "had just ended run again.",
                self.url, lost,
            )  # fmt: skip

    def _closed_by(self, text: str) -> PackhorseError:
        return refusal(self.url, self.namespace, text)

    # -- small verbs --------------------------------------------------------------------------------------------
    def now(self) -> int:
        """Return the store's time, µs: the server's, or that of the clock given."""
        if self._clock is not None:
            return self._clock()
        link = self._live()
        try:
            seconds, micros = link.ask("TIME", patience=self.patience)
        except (RedisError, OSError) as error:
            raise self._failed(error) from error
        return int(seconds) * 1_000_000 + int(micros)

    def migrate(self) -> list[str]:
        """Bring the format up to this version; return the names of the steps taken. A new namespace is made when it is
        opened, so there is nothing to do as long as there has been one format only."""
        self._run("frozen")
        return []

    def lock_dir(self) -> None:
        """Return no place for lock files: workers of many hosts meet here."""

    def _names(self, kinds: Sequence[str]) -> dict[str, tuple[str, str]]:
        """Return queue and task of each kind, of those that were asked for at least."""
        missing = [kind for kind in set(kinds) if kind not in self._kinds]
        if missing:
            _, _, names = self._run("overview")
            for name, text in zip(names[::2], names[1::2], strict=True):
                if name[0] == "n":
                    queue, _, task = text.partition("\x1e")
                    self._kinds[name[1:]] = (queue, task)
        return self._kinds
