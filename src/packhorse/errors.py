"""Every error Packhorse raises, and the one table of their codes.

::

    PackhorseError
    ├── StoreError
    │   ├── StoreUnavailable  E101 (ConnectionError)
    │   │   └── EnqueueUnknown  E106
    │   ├── BadSchema         E102
    │   ├── SchemaGone        E133
    │   ├── BadStore          E104
    │   ├── StoreRefused      E131
    │   ├── StoreMoved        E132
    │   ├── KeyBusy           E108
    │   └── StoreFull         E107
    ├── ConfigError           E100
    │   ├── NoStore           E105
    │   ├── MissingExtra      E160
    │   ├── NotLoadable       E113
    │   ├── TaskNameTaken     E112
    │   ├── LogNotWritable    E130
    │   └── NameTaken         E140
    ├── NotImportable         E110 (TypeError)
    ├── NotSerialisable       E120 (TypeError)
    │   └── NotAnnotated      E124
    ├── BadArguments          E121 (TypeError)
    ├── BadOption             E123 (ValueError)
    │   ├── BadName           E128 (ValueError)
    │   ├── BadSchedule       E136 (ValueError)
    │   └── NaiveTime         E129
    ├── WrongHandle           E125 (TypeError)
    ├── WrongDatabase         E127 (ValueError)
    ├── PayloadTooLarge       E126 (ValueError)
    ├── IdConflict            E119 (ValueError)
    ├── UniqueConflict        E109
    ├── UnknownParent         E135 (LookupError)
    ├── BatchFailed           E116
    ├── MoveRefused           E134
    ├── JobNotFound           E114 (LookupError)
    ├── ScheduleNotFound      E137 (LookupError)
    ├── AmbiguousId           E117 (LookupError)
    ├── BadState              E118
    ├── JobTimeout            E115 (TimeoutError)
    ├── JobFailed             E200
    ├── JobCancelled          E201
    ├── CommandFailed         E212
    └── ResultGone            E202

A code is never reused. ``packhorse explain CODE`` prints the long text of ``_explain`` for each.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar


class PackhorseError(Exception):
    """Root of the tree. ``code`` names the entry of ``packhorse explain``; the message ends with it."""

    code: ClassVar[str] = "E000"

    def __str__(self) -> str:
        """Return the message, ending with the code."""
        text = super().__str__()
        return text if text.endswith("]") and f"[{self.code}]" in text else f"{text}  [{self.code}]"


class StoreError(PackhorseError):
    """The store could not do what was asked."""


class StoreUnavailable(StoreError, ConnectionError):
    """The store did not answer. Nothing was stored, unless it is ``EnqueueUnknown``; trying again may help."""

    code = "E101"


class EnqueueUnknown(StoreUnavailable):
    """The reply was lost: the job may have been stored. Enqueue again with ``id=job_id``; it is never stored twice."""

    code = "E106"

    def __init__(self, message: str, job_id: str) -> None:
        """Keep the id under which the job may stand in the store."""
        super().__init__(message)
        self.job_id = job_id


class BadSchema(StoreError):
    """The store's schema is older or newer than this version understands, or there is none. ``found`` is the version that
    stands there, 0 for none."""

    code = "E102"

    def __init__(self, message: str, found: int = 0) -> None:
        """Keep the version."""
        super().__init__(message)
        self.found = found


class BadStore(StoreError):
    """The URL leads to something that cannot be a job store: a directory, another kind of file, a network file system."""

    code = "E104"


class SchemaGone(StoreError):
    """The tables were there and are gone (a dump was restored, somebody dropped them). Nothing makes them anew by itself."""

    code = "E133"


class StoreRefused(StoreError):
    """The server refused: password, role, database, permission, or its certificate. Trying again does not help until that
    is changed."""

    code = "E131"


class StoreMoved(StoreError):
    """The store is closed: its jobs are moving, or have moved, to another one, which the message names."""

    code = "E132"


class KeyBusy(StoreError):
    """Another transaction, which is still open, is storing a job with the same unique key, and did not end in time. Nothing was
    stored; trying again may help."""

    code = "E108"


class StoreFull(StoreError):
    """The store has no room (disk or memory). Nothing was stored."""

    code = "E107"


class ConfigError(PackhorseError):
    """A setting is wrong; the message says which, and where it came from."""

    code = "E100"


class NoStore(ConfigError):
    """No store was named, and none could be told for sure."""

    code = "E105"


class MissingExtra(ConfigError):
    """A library is needed that the plain install does not bring; the message has the line that installs it."""

    code = "E160"


class NotLoadable(ConfigError):
    """The application given to a worker cannot be imported or is not one."""

    code = "E113"


class TaskNameTaken(ConfigError):
    """Two functions claim one task name."""

    code = "E112"


class LogNotWritable(ConfigError):
    """A log file cannot be written by the user the worker runs as."""

    code = "E130"


class NameTaken(ConfigError):
    """Another live worker has this name."""

    code = "E140"


class NotImportable(PackhorseError, TypeError):
    """A worker could not find this function again by module and name."""

    code = "E110"


class NotSerialisable(PackhorseError, TypeError):
    """An argument or a result is not data that can be stored; the message names the path to it."""

    code = "E120"


class NotAnnotated(NotSerialisable):
    """A model (dataclass, enum, …) was passed for a parameter without an annotation to rebuild it from."""

    code = "E124"


class BadArguments(PackhorseError, TypeError):
    """The arguments do not fit the function's signature."""

    code = "E121"


class BadOption(PackhorseError, ValueError):
    """A job option is unknown or has a value it cannot have."""

    code = "E123"


class BadName(BadOption):
    """A name or key is outside its rule."""

    code = "E128"


class BadSchedule(BadOption):
    """A schedule's rule, zone or work is none that it can have; or two schedules have one name."""

    code = "E136"


class NaiveTime(BadOption):
    """A datetime without a time zone was given."""

    code = "E129"


class WrongHandle(PackhorseError, TypeError):
    """What was given to ``within`` or ``complete_in`` is no transaction, a closed one, or one of the other colour: a sync
    handle is for ``enqueue``, an async one for ``aenqueue``."""

    code = "E125"


class WrongDatabase(PackhorseError, ValueError):
    """The transaction given to ``within`` or ``complete_in`` belongs to another database than the store."""

    code = "E127"


class PayloadTooLarge(PackhorseError, ValueError):
    """Arguments are larger than 1 MiB as JSON."""

    code = "E126"


class IdConflict(PackhorseError, ValueError):
    """The id is stored already, with another task, queue or arguments."""

    code = "E119"

    def __init__(self, message: str, job_id: str = "") -> None:
        """Keep the id in question."""
        super().__init__(message)
        self.job_id = job_id


class UniqueConflict(PackhorseError):
    """Another job holds the unique key; nothing was stored. ``job_id`` is that job, empty if it cannot be seen yet."""

    code = "E109"

    def __init__(self, message: str, job_id: str = "") -> None:
        """Keep the id of the job that holds the key."""
        super().__init__(message)
        self.job_id = job_id


class UnknownParent(PackhorseError, LookupError):
    """A job that this one should wait for is not stored; nothing was stored. ``job_id`` is the id that was named."""

    code = "E135"

    def __init__(self, message: str, job_id: str = "") -> None:
        """Keep the id that is not stored."""
        super().__init__(message)
        self.job_id = job_id


class BatchFailed(PackhorseError):
    """A bulk enqueue stopped part-way: ``stored`` jobs are in, the draft at ``index`` was not; the cause is chained."""

    code = "E116"

    def __init__(self, message: str, *, stored: int, index: int) -> None:
        """Keep how far it came."""
        super().__init__(message)
        self.stored = stored
        self.index = index


class MoveRefused(PackhorseError):
    """A move between two stores cannot be done, or not go on; the message says what state both stores are in."""

    code = "E134"


class JobNotFound(PackhorseError, LookupError):
    """No job of this id is stored (any more)."""

    code = "E114"


class ScheduleNotFound(PackhorseError, LookupError):
    """There is no schedule of this name."""

    code = "E137"


class AmbiguousId(PackhorseError, LookupError):
    """More than one job's id ends with these characters."""

    code = "E117"


class BadState(PackhorseError):
    """The job is in a state that does not allow this."""

    code = "E118"


class JobTimeout(PackhorseError, TimeoutError):
    """The job had not ended in time. It goes on."""

    code = "E115"


class JobFailed(PackhorseError):
    """The job ended ``failed``. ``error`` has type, message and traceback as data, never as live objects."""

    code = "E200"

    def __init__(self, message: str, error: Mapping[str, Any] | None = None) -> None:
        """Keep the error as data."""
        super().__init__(message)
        self.error: Mapping[str, Any] = error or {}


class CommandFailed(PackhorseError):
    """A command run by ``packhorse.command`` inside a job did not succeed. ``status`` is its exit status, None if it has none."""

    code = "E212"

    def __init__(self, message: str, status: int | None = None) -> None:
        """Keep the exit status."""
        super().__init__(message)
        self.status = status


class JobCancelled(PackhorseError):
    """The job ended ``cancelled``; the message has the reason."""

    code = "E201"


class ResultGone(PackhorseError):
    """The job succeeded, but its result is not stored: never kept, dropped, or over its time."""

    code = "E202"


def tree() -> dict[str, type[PackhorseError]]:
    """Return code → class for every class of the tree."""
    found: dict[str, type[PackhorseError]] = {}
    todo: list[type[PackhorseError]] = [PackhorseError]
    while todo:
        cls = todo.pop()
        found.setdefault(cls.code, cls)
        todo.extend(cls.__subclasses__())
    return found
