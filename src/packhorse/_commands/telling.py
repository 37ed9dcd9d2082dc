"""The pipe to the supervisor: what is said is said whole, and nobody waits for it to be heard."""

from __future__ import annotations

import os

from .._wire import line


class Telling:
    """Writes lines; what the pipe does not take waits here."""

    def __init__(self, fd: int) -> None:
        """Write to this descriptor."""
        self.fd = fd
        self._waiting = bytearray()
        os.set_blocking(fd, False)

    def tell(self, *words: object) -> None:
        """Say something that must be heard."""
        self._waiting += line(*words)  # type: ignore[arg-type]
        self.flush()

    @property
    def behind(self) -> bool:
        """Tell whether something waits; then nothing should be said that can be said later."""
        return bool(self._waiting)

    def flush(self) -> None:
        """Write what goes. Raises ``BrokenPipeError`` when nobody listens any more."""
        try:
            while self._waiting:
                sent = os.write(self.fd, self._waiting)
                del self._waiting[:sent]
        except BlockingIOError:
            pass
