"""Who this worker is. Its id is new at every start, and after every death it was declared to have died."""

from __future__ import annotations

import json
import os
import socket
import sys
from typing import Any

from .. import _ids
from .._record import WorkerRecord
from .config import WorkerConfig
from .lock import WorkerLock, boot_id, host_name


def worker_name(template: str, instance: int = 1) -> str:
    """Return a name with its fields filled: ``%h`` host, ``%H`` full name, ``%p`` pid, ``%i`` instance."""
    host = host_name()
    fields = {"%h": host.split(".")[0], "%p": str(os.getpid()), "%i": str(instance)}
    if "%H" in template:
        full = socket.getfqdn()
        # Without DNS it is often "localhost", which every host would share.
        fields["%H"] = host if not full or full.startswith("localhost") else full
    for field, value in fields.items():
        template = template.replace(field, value)
    return template


_MOST_INSTANCES = 1000


class Identity:
    """The worker's row as it tells it; ``renew`` gives it another id."""

    def __init__(self, config: WorkerConfig, version: str) -> None:
        """Take the settings; ``catalogue`` comes from the first child."""
        self.instance = 1
        self.name = worker_name(config.name)
        self.host = host_name()
        self.boot = boot_id()
        self.catalogue: dict[str, Any] = {}
        self.app: tuple[str, ...] = config.app
        self._config = config
        self._version = version
        self._lock: WorkerLock | None = None
        self._lock_dir: str | None = None
        self.id = _ids.new_id()

    def take_lock(self, directory: str | None) -> None:
        """Lock a file in ``directory`` as the proof of life; None: the store has no other processes to prove it to."""
        self._lock_dir = directory
        if directory is not None and self._lock is None:
            self._lock = WorkerLock(directory, self.id)

    def next_name(self) -> bool:
        """Take the name of the next instance; False if the name does not count instances."""
        if "%i" not in self._config.name or self.instance >= _MOST_INSTANCES:
            return False
        self.instance += 1
        self.name = worker_name(self._config.name, self.instance)
        return True

    def renew(self) -> None:
        """Become another worker. Whoever declared this one dead knows that, and the children have been killed."""
        self.release()
        self.id = _ids.new_id()
        self.take_lock(self._lock_dir)

    def release(self, *, signed_off: bool = True) -> None:
        """Let the lock go. While our row still stands the file stays: it is what proves to the others that we are gone."""
        lock, self._lock = self._lock, None
        if lock is not None:
            lock.release(remove=signed_off)

    def record(self) -> WorkerRecord:
        """Return the row to register."""
        config = self._config
        return WorkerRecord(
            id=self.id,
            name=self.name,
            host=self.host,
            pid=os.getpid(),
            boot_id=self.boot,
            lock_path=self._lock.path if self._lock else None,
            lock_inode=self._lock.inode if self._lock else None,
            queues=json.dumps(config.queues) if config.queues is not None else None,
            slots=config.slots,
            version=self._version,
            catalogue=json.dumps(self.catalogue),
            info=json.dumps(self._info()),
        )

    def _info(self) -> dict[str, Any]:
        return {
            "python": sys.version.split()[0],
            "cwd": os.getcwd(),
            "app": list(self.app),
            "sys_path": list(self._config.sys_path),
            "processes": self._config.processes,
            "threads": self._config.threads,
            "coroutines": self._config.coroutines,
            "exclusive_patience": self._config.exclusive_patience,
        }
