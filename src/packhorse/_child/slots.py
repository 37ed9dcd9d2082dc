"""Slots on the main thread and on threads."""

from __future__ import annotations

import errno
import os
import socket
import threading
import traceback
from contextvars import copy_context
from time import monotonic_ns
from typing import TYPE_CHECKING

from .._record import Verdict
from .._wire import ORDER, PERMIT, line, write_all
from .guard import Guard
from .interrupts import SignalGate, ThreadGate, orders

if TYPE_CHECKING:
    from .child import Child


#: Exit status of a child whose job closed the descriptors it talks through.
CLOSED = 71


def report_line(index: int, start: int, end: int, verdict: Verdict) -> bytes:
    """Return the line that tells a result; the plain success of a job without a value is the short one."""
    if verdict.plain and verdict.result == "null" and verdict.log is None and verdict.keep is None:
        return b"%d %d %d\n" % (index, start, end)
    return line("verdict", index, start, end, verdict[2:])


class Single:
    """One slot on the main thread, and no thread of ours: the job may fork."""

    def __init__(self, child: Child, control: int) -> None:
        """Take over the process."""
        self._child = child
        self._renew_lock()
        os.register_at_fork(after_in_child=self._renew_lock)  # another thread may have held it
        self.gate = SignalGate(child, control)

    def _renew_lock(self) -> None:
        # One that its holder may take again: a signal handler of the job's may print in the middle of a print.
        self._write = threading.RLock()

    def serve(self, permits: socket.socket, results: int) -> None:
        """Run jobs until the permits end."""
        child, recv, unpack = self._child, permits.recv, PERMIT.unpack
        execute, guard, write = child.executor.run, Guard(), os.write
        while data := recv(PERMIT.size):
            (index,) = unpack(data)
            if index == ORDER:
                child.obey()
                continue
            job = child.job(index)
            child.index = index
            start = monotonic_ns()
            # In a context of its own: what a job sets in context variables (the decimal precision is one) ends with it.
            verdict = copy_context().run(execute, job, child, child.on_policy)
            end = monotonic_ns()
            guard.restore(job.task)
            if self.gate.forked:
                os._exit(0)  # forked by a hook
            with self._write:
                if verdict.plain and verdict.result == "null" and verdict.log is None:
                    write(results, b"%d %d %d\n" % (index, start, end))
                else:
                    write_all(results, report_line(index, start, end, verdict))

    def tell(self, results: int, text: bytes) -> None:
        """Write a line, whole: an interruption waits, and a thread that the job started takes its turn."""
        with self._write, self.gate.held():
            write_all(results, text)

    def index(self, job: str) -> int:
        """Return the index of the running job."""
        return self._child.index


class Threads:
    """Slots on threads; the main thread only listens for interruptions."""

    def __init__(self, child: Child, control: int, count: int) -> None:
        """Prepare ``count`` slots."""
        self._child = child
        self._control = control
        self._count = count
        self._lock = threading.Lock()
        self.gate = ThreadGate()

    def serve(self, permits: socket.socket, results: int) -> None:
        """Run jobs until the permits end."""
        threads = [
            threading.Thread(target=self._slot, args=(permits, results), name=f"slot-{n + 1}")
            for n in range(self._count)
        ]
        for thread in threads:
            thread.start()
        # The control pipe ends when the supervisor closes it, which it does together with the permits.
        while found := orders(self._control):
            for index, reason in found:
                self.gate.interrupt(index, reason)
        for thread in threads:
            thread.join()

    def _slot(self, permits: socket.socket, results: int) -> None:
        try:
            self._serve_slot(permits, results)
        except BaseException as error:
            # A slot that is gone would make the child look slow for ever; a dead child is noticed at once.
            if not (isinstance(error, OSError) and error.errno in (errno.EBADF, errno.EPIPE)):
                traceback.print_exc()
            os._exit(CLOSED)

    def _serve_slot(self, permits: socket.socket, results: int) -> None:
        while True:
            # One slot at a time waits for the next permit: frames and permits must be read in the same order.
            with self._lock:
                if not (data := permits.recv(PERMIT.size)):
                    return
                (index,) = PERMIT.unpack(data)
                if index == ORDER:
                    self._child.obey()
                    continue
                job = self._child.job(index)
            self.gate.begin(job.id, index)
            start = monotonic_ns()
            verdict = copy_context().run(self._child.executor.run, job, self._child, self._child.on_policy)
            text = report_line(index, start, monotonic_ns(), verdict)
            self.gate.end(job.id)
            self.tell(results, text)

    def tell(self, results: int, text: bytes) -> None:
        """Write a line, whole: no other thread's and no interruption comes between."""
        with self.gate.lock:
            write_all(results, text)

    def index(self, job: str) -> int:
        """Return the index of a running job."""
        return self.gate.index(job)
