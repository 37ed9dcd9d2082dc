"""The Lua, one verb a file. ``base.lua`` goes before each, ``jobs.lua`` and ``rules.lua`` too where single jobs are looked at."""

from __future__ import annotations

import hashlib
from functools import cache
from importlib.resources import files

#: Verbs that stand alone.
_BARE = frozenset({"create"})
#: Verbs that look at no single job.
_WITHOUT_JOBS = frozenset(
    "claim condemn enqueue_plain export flows freeze frozen get holding last_attempts leave limits log named numbers overview "
    "pause publish put_schedules records register resting resume runs schedules set_step stopping thaw unresting wait "
    "workers".split()
)

#: What some verbs stand on beside that.
_MORE = {"admit": ("lines",), "obstacles": ("lines",), "sweep": ("lines",), "requeue": ("again",), "revive": ("again",)}

#: Verbs that do what another one does, in the same step.
_WITH = {"fire": "enqueue"}


def _text(name: str) -> str:
    """Return a file without its comments and indentation: the server need not read them."""
    lines = files(__name__).joinpath(f"{name}.lua").read_text("utf-8").splitlines()
    return "\n".join(line.strip() for line in lines if line.strip() and not line.lstrip().startswith("--"))


@cache
def source_of(verb: str) -> str:
    """Return the whole script of a verb."""
    if verb in _BARE:
        return _text(verb)
    ground = ("base",) if verb in _WITHOUT_JOBS else ("base", "jobs", "rules", *_MORE.get(verb, ()))
    parts = ["base", "settle_plain", *ground[1:], verb] if verb == "settle" else [*ground, verb]
    texts = [_text(part) for part in parts]
    if verb in _WITH:
        texts[-1:-1] = [f"local function {_WITH[verb]}()", _text(_WITH[verb]), "end"]
    return "\n".join(texts)


@cache
def sha_of(verb: str) -> str:
    """Return the name by which the server knows a script."""
    return hashlib.sha1(source_of(verb).encode(), usedforsecurity=False).hexdigest()
