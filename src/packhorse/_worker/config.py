"""What one ``packhorse worker`` was asked to be."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from .._enqueuing import unreachable
from .._rescue import EXCLUSIVE_PATIENCE
from .._retention import DEFAULT, Retention
from .._url import mask
from ..errors import PackhorseError, StoreUnavailable

if TYPE_CHECKING:
    from .._command_task import CommandTask
    from .._notify import Notify
    from .._store import Store


@dataclass(frozen=True, slots=True)
class Place:
    """Where a worker's store is, and how to open connections to it."""

    url: str = field(repr=False)  #: in full, secrets and all: the children need it
    namespace: str
    source: str  #: where the URL came from, for people
    open: Callable[[bool], Store]  #: True: it may be created, if it was named

    @property
    def described(self) -> str:
        """Return the URL, secrets masked, and where it came from."""
        return f"{mask(self.url)}  ({self.source})"

    def unreachable(self, error: PackhorseError) -> StoreUnavailable:
        """Return what a worker says that does not wait for its store."""
        return unreachable(self.url, self.source, error, "; nothing was started")


#: Turns the App's plain part into the place of its store. Raises ``ConfigError`` if there is none to be had.
Connect = Callable[[Mapping[str, object]], Place]


@dataclass(frozen=True, slots=True)
class WorkerConfig:
    """Settings of a worker, checked already. Durations are seconds, sizes bytes."""

    app: tuple[str, ...] = ()  #: APP arguments, as typed
    queues: tuple[tuple[str, ...], ...] | None = None  #: groups in order, each asked in turn; None: every queue
    processes: int = 1
    threads: int = 1
    coroutines: int = 0  #: 0: none
    burst: bool = False  #: exit once nothing is left that could run now
    name: str = "%H:%p"  #: %h host, %H full name, %p pid, %i instance
    grace: float | None = 25.0  #: None: wait for running jobs without end
    max_jobs: int | None = None  #: a child is replaced after so many jobs
    max_memory: int | None = None  #: a child is replaced once its resident memory exceeds this, between jobs
    log_level: str = "info"
    log_format: str = "text"  #: "text" or "json"
    log_file: str | None = None
    #: Jobs that reserve something are stopped when no beat was answered for so long. Everything that follows from it, for the
    #: workers that take them back, is reckoned from the longest that holds.
    exclusive_patience: float = EXCLUSIVE_PATIENCE
    no_retry: bool = False  #: exit 69 at once if the store cannot be reached at start
    limits: Mapping[str, str] = field(default_factory=dict)  #: of the config file, by name
    tasks: Mapping[str, CommandTask] = field(default_factory=dict)  #: commands declared in the config file, by name
    tables: Mapping[str, Any] = field(default_factory=dict)  #: the same as they are written there
    tables_file: str | None = None  #: that file
    commands: tuple[str, ...] = ()  #: patterns of the programs that may be run
    needs: tuple[str, ...] = ()  #: what this host must have for any command to run here: ``mount:/content``
    workspaces: str | None = None  #: where commands get their directories; None: where this user's programs keep theirs
    retention: Retention = DEFAULT  #: how long what has ended is kept
    notify: Notify | None = None  #: which ends are told of, and how; its task is among ``tasks``
    quiet_after: float = 600.0  #: a command without output for so long is shown as quiet
    plain: dict[str, object] | None = None  #: the App's plain part, handed over by ``App.main``; None: a child tells it
    sys_path: tuple[str, ...] = field(default_factory=lambda: tuple(sys.path))

    @property
    def slots_per_child(self) -> int:
        """Return how many jobs one child runs at a time."""
        return self.coroutines or self.threads

    @property
    def slots(self) -> int:
        """Return how many jobs this worker runs at a time."""
        return self.processes * self.slots_per_child
