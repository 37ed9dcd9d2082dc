"""Packhorse runs Python functions later: in the background, on other processes, with retries, and shows you.

::

    from packhorse import Queue

    mail = Queue("mail")
    job = mail.enqueue(send_mail, "ada@example.org")
    job.result(timeout=10)

The names below are all there is to import from here; beside them stand ``packhorse.errors``, ``packhorse.testing`` and
``packhorse.middleware``. Each name is loaded when it is first asked for.
"""

from __future__ import annotations

# Type checkers take this name for true; importing it would be most of what importing this package costs.
TYPE_CHECKING = False

if TYPE_CHECKING:
    from ._app import App
    from ._backoff import Backoff
    from ._command_inside import command
    from ._current import CurrentJob, current_job
    from ._draft import Draft
    from ._job import Job
    from ._queue import Queue
    from ._recurring import cron, every
    from ._signals import Cancel, Interrupted, Retry, Snooze
    from ._task import task
    from .errors import PackhorseError

__all__ = [
    "App",
    "Backoff",
    "Cancel",
    "CurrentJob",
    "Draft",
    "Interrupted",
    "Job",
    "PackhorseError",
    "Queue",
    "Retry",
    "Snooze",
    "command",
    "cron",
    "current_job",
    "every",
    "task",
]

__version__ = "0.1.0"

_HOMES = {
    "App": "_app",
    "Backoff": "_backoff",
    "Cancel": "_signals",
    "CurrentJob": "_current",
    "Draft": "_draft",
    "Interrupted": "_signals",
    "Job": "_job",
    "PackhorseError": "errors",
    "Queue": "_queue",
    "Retry": "_signals",
    "Snooze": "_signals",
    "command": "_command_inside",
    "cron": "_recurring",
    "current_job": "_current",
    "every": "_recurring",
    "task": "_task",
}


def __getattr__(name: str) -> object:
    """Load a public name at its first use."""
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'packhorse' has no attribute {name!r}")
    from importlib import import_module

    value: object = getattr(import_module(f"{__name__}.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """List the public names, loaded or not."""
    return sorted({*globals(), *__all__} - {"TYPE_CHECKING"})
