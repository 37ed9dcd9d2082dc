"""Waiting until another connection has changed something.

Who waits says so in the namespace and blocks on a list of its own, on a connection of its own, for a few seconds at a time.
Whoever changes something pushes one element to each who waits. A blocked connection stays blocked when a wait is over: the
next one goes on with it, and finds there what came in between.
"""

from __future__ import annotations

import os
import select
import threading
import time

from redis.exceptions import NoScriptError, RedisError

from .connection import Connection
from .link import Link, connect
from .scripts import sha_of, source_of

#: One block lasts at most so many seconds.
_BLOCK = 5


class Waiting(Connection):
    """The verbs that wait."""

    _waiter: Link | None = None
    _blocked = False  #: BLPOP is under way on it
    _pipe: tuple[int, int] | None = None
    _owner = 0  #: process whose pipe it is
    _pipe_lock = threading.Lock()
    _asked = False  #: ``changed`` was called before

    def wait(self, timeout: float) -> bool:
        """Wait until another connection may have changed something, at most ``timeout`` seconds."""
        deadline = time.monotonic() + timeout
        pipe = self._prepare_pipe()
        while True:
            link = self._waiting_link()
            if not self._blocked:
                if self._block(link):
                    return True
            elif self.changed():
                return True
            # The answer may have come together with the one before it, and be in the library's buffer already.
            if not link.has_answer():
                ready = _readable([pipe, link.descriptor()], max(0.0, deadline - time.monotonic()))
                if pipe in ready:
                    _empty(pipe)
                    return self.changed()
                if not ready:
                    return False
            if self._woken(link):
                return True

    def _waiting_link(self) -> Link:
        self._live()  # a fork, a closed handle
        link = self._waiter
        if link is None:
            try:
                link = connect(self._address, self._key, self.patience, first=False)
            except (RedisError, OSError) as error:
                raise self._failed(error) from error
            self._waiter, self._blocked = link, False
        return link

    def _block(self, link: Link) -> bool:
        """Say that I wait, and block; tell whether something has changed before."""
        words = (self._identity, "", self._me)
        try:
            link.wire.send_command("EVALSHA", sha_of("wait"), 1, self._key, *words)
            link.wire.send_command("BLPOP", f"{self._key}:wake:{self._me}", _BLOCK)
            total = self._waiting_answer(link, words)
        except (RedisError, OSError) as error:
            self._hang_up()
            raise self._failed(error) from error
        self._blocked = True
        return self._is_news(int(total))

    def _waiting_answer(self, link: Link, words: tuple[str, ...]) -> str:
        try:
            return str(link.wire.read_response())
        except NoScriptError:
            pass  # the server has lost its scripts
        link.close()  # BLPOP is under way already
        link.wire.connect()
        answer = str(link.ask("EVAL", source_of("wait"), 1, self._key, *words))
        link.wire.send_command("BLPOP", f"{self._key}:wake:{self._me}", _BLOCK)
        return answer

    def _woken(self, link: Link) -> bool:
        """Take the answer of a block: what has changed, or that its time is over."""
        try:
            answer = link.wire.read_response()
        except (RedisError, OSError) as error:
            self._hang_up()
            raise self._failed(error) from error
        self._blocked = False
        return answer is not None and self._is_news(int(answer[1]))

    def wake(self) -> None:
        """Make a ``wait`` under way on this object, else the next one, return soon. Any thread may call it."""
        self._prepare_pipe()
        assert self._pipe is not None
        try:
            os.write(self._pipe[1], b"!")
        except BlockingIOError:
            pass  # full: it will be woken anyway

    def changed(self) -> bool:
        """Tell whether another connection has changed something since this was last asked (first time: True)."""
        link = self._live()
        try:
            seq, other = link.ask("HMGET", self._key, "seq", "v", patience=self.patience)
        except (RedisError, OSError) as error:
            raise self._failed(error) from error
        if seq is None:
            raise self._gone()
        self._used = time.monotonic()
        return self._is_news(int(seq) + int(other))

    def _is_news(self, total: int) -> bool:
        news = total - self._mine != self._total or not self._asked
        self._asked = True
        self._total, self._mine = total, 0
        return news

    # -- descriptors --------------------------------------------------------------------------------------------
    def _prepare_pipe(self) -> int:
        """Return the end of the pipe that is read."""
        with self._pipe_lock:
            if self._pipe is None or self._owner != os.getpid():
                self._pipe = os.pipe()
                for end in self._pipe:
                    os.set_blocking(end, False)
                self._owner = os.getpid()
            return self._pipe[0]

    def _hang_up(self) -> None:
        link, self._waiter = self._waiter, None
        self._blocked = False
        if link is not None:
            link.close()

    def _forked(self) -> None:
        super()._forked()
        self._waiter, self._blocked = None, False

    def close(self) -> None:
        """Give the connections back. Closing twice is fine."""
        self.wake()
        super().close()
        self._hang_up()
        with self._pipe_lock:
            pipe, self._pipe = self._pipe, None
            if pipe is not None and self._owner == os.getpid():
                os.close(pipe[0])
                os.close(pipe[1])


def _renew_lock() -> None:
    """After a fork: a thread that is no more may have held it."""
    Waiting._pipe_lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_lock)


def _readable(sources: list[int], timeout: float) -> list[int]:
    """Wait with poll(2), which unlike select knows descriptors beyond 1023."""
    poll = select.poll()
    for source in sources:
        poll.register(source, select.POLLIN)
    return [source for source, _ in poll.poll(timeout * 1000)]


def _empty(source: int) -> None:
    try:
        while len(os.read(source, 65536)) == 65536:
            continue
    except BlockingIOError:
        return
