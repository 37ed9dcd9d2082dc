"""How long the disk takes to keep something: it decides every durable commit."""

from __future__ import annotations

import os
import time
from pathlib import Path


def fdatasync(path: Path, times: int = 200) -> float:
    """Return the mean seconds that one durable write of a page takes on this disk."""
    flush = getattr(os, "fdatasync", os.fsync)
    with path.open("wb", buffering=0) as file:
        start = time.perf_counter()
        for _ in range(times):
            file.write(b"x" * 4096)
            flush(file.fileno())
        taken = time.perf_counter() - start
    path.unlink()
    return taken / times
