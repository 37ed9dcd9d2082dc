"""Slots on an event loop."""

from __future__ import annotations

import asyncio
import os
import socket
from concurrent.futures import ThreadPoolExecutor
from time import monotonic_ns
from typing import TYPE_CHECKING

from .._record import Claimed
from .._wire import ORDER, PERMIT, line, write_all
from .interrupts import ThreadGate, orders
from .slots import report_line

if TYPE_CHECKING:
    from .child import Child


class Coroutines:
    """Slots on the event loop of the main thread, with one thread beside it for sync functions."""

    def __init__(self, child: Child, control: int, count: int) -> None:
        """Prepare ``count`` slots."""
        self._child = child
        self._control = control
        self._free = count
        self._over: asyncio.Event | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.gate = ThreadGate()

    def serve(self, permits: socket.socket, results: int) -> None:
        """Run jobs until the permits end."""
        asyncio.run(self._serve(permits, results))

    async def _serve(self, permits: socket.socket, results: int) -> None:
        loop = asyncio.get_running_loop()
        loop.set_default_executor(ThreadPoolExecutor(1, thread_name_prefix="sync"))
        self._over = asyncio.Event()
        permits.setblocking(False)
        os.set_blocking(self._control, False)
        loop.add_reader(permits, self._take, permits, results)
        loop.add_reader(self._control, self._listen)
        await self._over.wait()
        if self._tasks:
            await asyncio.wait(self._tasks)  # they can be interrupted to the last
        loop.remove_reader(self._control)

    def _take(self, permits: socket.socket, results: int) -> None:
        while self._free > 0:
            try:
                data = permits.recv(PERMIT.size)
            except BlockingIOError:
                return
            if not data:
                self._end(permits)
                return
            (index,) = PERMIT.unpack(data)
            if index == ORDER:
                self._child.obey()
                continue
            self._start(self._child.job(index), index, permits, results)
        asyncio.get_running_loop().remove_reader(permits)

    def _end(self, permits: socket.socket) -> None:
        asyncio.get_running_loop().remove_reader(permits)
        assert self._over is not None
        self._over.set()

    def _start(self, job: Claimed, index: int, permits: socket.socket, results: int) -> None:
        self._free -= 1
        task = asyncio.get_running_loop().create_task(self._run(job, index, permits, results))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run(self, job: Claimed, index: int, permits: socket.socket, results: int) -> None:
        self.gate.begin(job.id, index)
        start = monotonic_ns()

        def waits(_: Claimed, waiting: bool) -> None:
            # Waiting for the thread costs a sync job nothing of its time.
            nonlocal start
            start = monotonic_ns()
            self.tell(results, line("waits", index, waiting))

        verdict = await self._child.executor.arun(job, self._child, self._child.on_policy, waits)
        text = report_line(index, start, monotonic_ns(), verdict)
        self.gate.end(job.id)
        self.tell(results, text)
        self._free += 1
        if self._free == 1 and self._over is not None and not self._over.is_set():
            asyncio.get_running_loop().add_reader(permits, self._take, permits, results)

    def _listen(self) -> None:
        try:
            found = orders(self._control)
        except BlockingIOError:
            return
        if not found:
            asyncio.get_running_loop().remove_reader(self._control)
        for index, reason in found:
            self.gate.interrupt(index, reason)

    def tell(self, results: int, text: bytes) -> None:
        """Write a line, whole; the thread beside the loop may write too."""
        with self.gate.lock:
            write_all(results, text)

    def index(self, job: str) -> int:
        """Return the index of a running job."""
        return self.gate.index(job)
