"""What a command may use: processor time and priority by the kernel, memory watched by us."""

from __future__ import annotations

import math
import os
import resource
from typing import NamedTuple

from .strays import family

#: Memory is looked at so often (seconds).
WATCH_EVERY = 0.1
#: A process that goes on when it is told that its processor time is over is killed after so many seconds more.
_CPU_GRACE = 5


class Limits(NamedTuple):
    """The limits of one command."""

    nice: int | None = None
    max_cpu: float | None = None  #: seconds

    def impose(self) -> None:
        """Take them on, in the process that is about to become the command."""
        if self.nice is not None:
            os.nice(self.nice)
        if self.max_cpu is not None:
            _, most = resource.getrlimit(resource.RLIMIT_CPU)
            soft, hard = math.ceil(self.max_cpu), math.ceil(self.max_cpu) + _CPU_GRACE
            if most != resource.RLIM_INFINITY:
                soft, hard = min(soft, most), min(hard, most)
            resource.setrlimit(resource.RLIMIT_CPU, (soft, hard))


def memory_of(leader: int) -> int:
    """Return the resident memory, in bytes, of a command's processes together; 0 if it cannot be told."""
    return sum(map(_resident, family(leader)))


def _resident(pid: int) -> int:
    try:
        with open(f"/proc/{pid}/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return 0
