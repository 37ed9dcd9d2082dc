"""The namespace's own key: who it is, and in which format its jobs are kept."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

from ...errors import BadSchema, BadStore, SchemaGone
from .scripts import source_of

if TYPE_CHECKING:
    from .link import Link

#: The format of the keys, as docs/internals/redis.md describes it.
FORMAT = 2
#: Formats that are brought up when a namespace is opened.
_OLDER = frozenset({"1"})
#: All numbers of jobs have as many digits, so that they sort as text.
FIRST = 10**13


def identify(link: Link, key: str, shown: str, *, create: bool, known: str) -> str:
    """Return identity and format of the namespace, made if it is new and may be.

    ``known`` is the identity it had before; "": this is the first time.
    """
    found = link.ask("HGET", key, "is")
    if found is None and create:
        fresh = f"{uuid.uuid4()}:{FORMAT}"
        found = link.ask("EVAL", source_of("create"), 1, key, fresh, FIRST)
    if found is None:
        raise _missing(key, shown, known)
    instance, _, number = str(found).partition(":")
    if known and instance != known:
        raise SchemaGone(
            f"{shown}: the jobs under {key} are not those that were here before: the server was emptied, or a backup restored. "
            "Nothing was stored. Restart the workers once you know that it is as it should be."
        )
    if number in _OLDER:
        # Nothing stored has another meaning now; but who knows only the older format must not touch jobs with rules. The user
        # may be one that was made for the older one.
        from .acl import denied

        problem = denied(link, key, shown)
        if problem is not None:
            raise problem
        found = link.ask("EVAL", source_of("create"), 1, key, f"{instance}:{FORMAT}", FIRST, str(found))
        number = str(found).partition(":")[2]
    if number != str(FORMAT):
        raise _other_format(key, shown, number)
    return str(found)


def _missing(key: str, shown: str, known: str) -> Exception:
    if known:
        return SchemaGone(
            f"{shown}: the key {key} and all jobs are gone: the server was emptied (FLUSHALL), or came back without its data. "
            "Nothing was stored, and nothing is made anew by itself. To begin with an empty store, restart the workers."
        )
    return BadStore(
        f"{shown} holds no job store (there is no key {key}); it was left as it is. Start a worker with this store URL, or run: "
        "packhorse db migrate"
    )


def _other_format(key: str, shown: str, number: str) -> BadSchema:
    newer = not number.isdigit() or int(number) > FORMAT
    what = (
        "written by a newer Packhorse. Upgrade Packhorse here, or use another store"
        if newer
        else "written by an older one. Run: packhorse db migrate"
    )
    return BadSchema(
        f"{shown}: {key} has format {number}; this Packhorse understands format {FORMAT}; it was {what}. Nothing was changed.",
        found=int(number) if number.isdigit() and int(number) else 1,
    )
