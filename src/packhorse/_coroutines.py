"""What running an ``async def`` needs of asyncio; imported only where there is one."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Generator
from typing import TYPE_CHECKING, Any

from ._current import Running
from ._signals import Interrupted

if TYPE_CHECKING:
    from ._executor import Gate


def new_loop() -> asyncio.AbstractEventLoop:
    """Return a loop for this thread."""
    return asyncio.new_event_loop()


async def driven(gate: Gate, run: Running, coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Await a job's coroutine, interruptible through its task."""
    gate.arm(asyncio.current_task())
    return await Interruptible(coroutine, run)


class Interruptible:
    """Awaits a coroutine; a cancellation that the worker asked for arrives in it as ``Interrupted``."""

    __slots__ = ("_coroutine", "_run")

    def __init__(self, coroutine: Coroutine[Any, Any, Any], run: Running) -> None:
        """Await ``coroutine`` as part of ``run``."""
        self._coroutine = coroutine
        self._run = run

    def __await__(self) -> Generator[Any, Any, Any]:
        """Pass everything through, but for that."""
        send: Any = None
        throw: BaseException | None = None
        while True:
            try:
                future = self._coroutine.send(send) if throw is None else self._coroutine.throw(throw)
            except StopIteration as stop:
                return stop.value
            send, throw = None, None
            try:
                send = yield future
            except asyncio.CancelledError as error:
                throw = self._told() or error
            except BaseException as error:
                throw = error

    def _told(self) -> Interrupted | None:
        reason: Any = self._run.stop
        return Interrupted(reason) if reason else None
