"""Waiting for a change by somebody else: a notification wakes, two counters are the truth, and looking again is the net."""

from __future__ import annotations

import os
import select
import threading
import time

from .link import Link
from .rows import Rows

#: After a hint the change may become visible a little later, and the next notifications are held back: so long it is looked for,
#: so often.
_ALERT, _LOOK_EVERY = 0.15, 0.01
#: Without notifications, or behind them: from so many seconds between two looks to so many.
_FIRST, _LAST, _LAST_LISTENING = 0.005, 0.25, 1.0


class Waiting(Rows):
    """The verbs that wait."""

    _seen: int | None = None
    _alert_until = 0.0
    _listening: Link | None = None
    _pipe: tuple[int, int] | None = None
    _pipe_owner = 0
    _pipe_lock = threading.Lock()

    def changed(self) -> bool:
        """Tell whether another connection has changed something since this was last asked (first time: True)."""
        return self._twice(self._changed)

    def _changed(self, link: Link) -> bool:
        self._require(link)
        number = int(self._rows(link, "small", "news")[0][0])
        mine, self._mine = self._mine, 0
        seen, self._seen = self._seen, number
        return seen is None or number != seen + mine

    def wait(self, timeout: float) -> bool:
        """Wait until another connection may have changed something, at most ``timeout`` seconds. May be ended by ``wake``."""
        deadline = time.monotonic() + timeout
        pipe = self._prepare_pipe()
        if self._location.listen:
            self._twice(self._listen)
        pause = _FIRST
        while not self.changed():
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            pause = min(pause * 1.5, _LAST_LISTENING if self._location.listen else _LAST)
            if self._alert_until > time.monotonic():
                pause = _LOOK_EVERY
            elif self._location.listen:
                pause = _LAST_LISTENING
            if self._sleep(pipe, min(pause, left)):
                return self.changed()
            if self._notified:
                self._notified = False
                self._alert_until = time.monotonic() + _ALERT
                return True  # who notifies has committed before: to look first would only take time
        self._alert_until = max(self._alert_until, time.monotonic() + _ALERT)
        return True

    def _listen(self, link: Link) -> None:
        self._require(link)
        if self._listening is not link:
            link.ask(f'LISTEN "{self._channel}"'.encode())
            self._listening = link

    def _sleep(self, pipe: int, seconds: float) -> bool:
        """Sleep until something arrives on the connection; tell whether somebody called ``wake``."""
        link = self._link
        poll = select.poll()
        poll.register(pipe, select.POLLIN)
        if link is not None and self._location.listen:
            poll.register(link.pgconn.socket, select.POLLIN)
        ready = {source for source, _ in poll.poll(seconds * 1000)}
        if pipe in ready:
            _empty(pipe)
            return True
        if ready and link is not None and not self._heard_out(link):
            self._drop()  # the next look begins a new session, and listens there
            self._listening = None
            time.sleep(0.01)
        if self._location.listen and self._listening is None:
            self._twice(self._listen)
        return False

    @property
    def _channel(self) -> str:
        return f"{self._schema}_{self._ns}"[-63:]

    def wake(self) -> None:
        """Make a ``wait`` under way on this object return soon. Any thread may call it."""
        self._prepare_pipe()
        pipe = self._pipe
        if pipe is not None:
            try:
                os.write(pipe[1], b"!")
            except BlockingIOError:
                pass  # full: it will be woken anyway

    def _prepare_pipe(self) -> int:
        with self._pipe_lock:
            if self._pipe is None or self._pipe_owner != os.getpid():
                self._pipe = os.pipe()
                self._pipe_owner = os.getpid()
                for end in self._pipe:
                    os.set_blocking(end, False)
            return self._pipe[0]

    def close(self) -> None:
        """Give the connection back."""
        super().close()
        with self._pipe_lock:
            pipe, self._pipe = self._pipe, None
            if pipe is not None and self._pipe_owner == os.getpid():
                for end in pipe:
                    os.close(end)


def _empty(source: int) -> None:
    try:
        while len(os.read(source, 65536)) == 65536:
            continue
    except BlockingIOError:
        return


def _renew_lock() -> None:
    """After a fork: a thread that is no more may have held it."""
    Waiting._pipe_lock = threading.Lock()


os.register_at_fork(after_in_child=_renew_lock)
