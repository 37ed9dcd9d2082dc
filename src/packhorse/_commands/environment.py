"""The small, clean environment that every command gets."""

from __future__ import annotations

import os
import pwd
from collections.abc import Mapping
from functools import lru_cache

from .._record import Claimed

_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
#: Taken over from the worker, as far as they are set there.
_TAKEN = ("PATH", "HOME", "LANG", "LANGUAGE", "TZ", "USER", "LOGNAME", "SHELL")


def environment(job: Claimed, tmp: str, added: Mapping[str, str], place: Mapping[str, str] | None) -> dict[str, str]:
    """Return it. ``added`` is the command's own; ``place`` tells the store, to a command that may enqueue."""
    found = {**_ours(), "TMPDIR": tmp}
    found.update(added)
    found["PACKHORSE_JOB_ID"] = job.id
    found["PACKHORSE_FD"] = "3"
    found["PACKHORSE_ATTEMPT"] = str(1 + job.failures + job.crashes + job.losses)
    if place is not None:
        found["PACKHORSE_URL"] = place["url"]
        found["PACKHORSE_NAMESPACE"] = place["namespace"]
    return found


@lru_cache(maxsize=1)
def _ours() -> dict[str, str]:
    """Return what every command gets of the worker's own environment, which does not change."""
    found = {name: os.environ[name] for name in _TAKEN if name in os.environ}
    found.update({name: value for name, value in os.environ.items() if name.startswith("LC_")})
    return {"PATH": _PATH, **_user(), **found}


def _user() -> dict[str, str]:
    """Return what the host says of our user; a container may know nothing of it."""
    try:
        user = pwd.getpwuid(os.geteuid())
    except KeyError:
        return {"HOME": "/"}
    return {"HOME": user.pw_dir, "USER": user.pw_name, "LOGNAME": user.pw_name}
