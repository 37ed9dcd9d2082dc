"""The memory store: the reference model every other store is compared with, and the testing kit."""

from ._clock import SettableClock
from ._handle import MemoryStore

__all__ = ["MemoryStore", "SettableClock"]
