"""Threads for callers with an event loop: a call that waits for the store must not block it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any, TypeVar

from ._enqueuing import asked_at

T = TypeVar("T")

_threads: tuple[int, Any] | None = None


async def aside(call: Callable[..., T], *args: Any) -> T:
    """Run a call in a thread of ours, so that the caller's event loop is never blocked.

    The loop's own threads are not used: they belong to the program, which may have them all busy.
    """
    import asyncio
    import contextvars

    context = contextvars.copy_context()
    context.run(asked_at.set, time.monotonic())
    return await asyncio.get_running_loop().run_in_executor(_pool(), context.run, call, *args)


def _pool() -> Any:
    global _threads
    if _threads is None or _threads[0] != os.getpid():
        from concurrent.futures import ThreadPoolExecutor

        _threads = (os.getpid(), ThreadPoolExecutor(4, thread_name_prefix="packhorse"))
    return _threads[1]
