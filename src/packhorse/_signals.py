"""What a task may return or raise to say more than success or failure."""

from __future__ import annotations

from typing import Literal

from ._durations import Duration, seconds


class Retry(Exception):
    """Run this job again, counted as a failed attempt. Return it, or raise it ``from`` the cause, which is recorded.

    ``delay`` (seconds, ``"5m"`` or ``timedelta``) overrides the task's backoff; None takes the backoff's delay. When no
    attempts are left the job ends ``failed``. ``reason`` is shown to people. Raises ``BadOption`` for a bad delay.
    """

    def __init__(self, delay: Duration | None = None, reason: str = "") -> None:
        self.delay = None if delay is None else seconds(delay, "Retry(delay=)")
        self.reason = reason
        super().__init__(delay, reason)


class Snooze(Exception):
    """Run this job again after ``delay``, not counted as an attempt: at most 1,000 times, or until it expires.

    ``delay`` is seconds, ``"5m"`` or ``timedelta``; ``reason`` is shown to people. Raises ``BadOption`` for a bad delay.
    """

    def __init__(self, delay: Duration, reason: str = "") -> None:
        self.delay = seconds(delay, "Snooze(delay=)")
        self.reason = reason
        super().__init__(delay, reason)


class Cancel(Exception):
    """End this job as ``cancelled``: ``Cancel("feed not changed")``. It is not tried again."""

    def __init__(self, reason: str = "") -> None:
        self.reason = reason
        super().__init__(reason)


class Interrupted(BaseException):
    """Raised inside a running job at its time limit, when it is cancelled, or when the worker must stop.

    It is no ``Exception``, so that ``except Exception`` does not swallow it. ``reason`` says which of the three.
    """

    reason: Literal["timeout", "cancelled", "shutdown"]

    def __init__(self, reason: Literal["timeout", "cancelled", "shutdown"]) -> None:
        self.reason = reason
        super().__init__(reason)
