"""Which store is meant where none was named: what might be, and the one that is a Packhorse store already.

Nothing is stored in a place that nobody looks at: with several that are ours, or none, ``NoStore`` lists what there is, each with
the line that settles it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from ._url import kind_of, mask, scheme_of
from .errors import NoStore

_FILE = "packhorse.db"
_SERVERS = ("PostgreSQL", "Redis", "Valkey")


class Candidate(NamedTuple):
    """A place that might be the store, but was not named as such."""

    source: str
    url: str  #: secrets and all
    settle: str  #: the line that names it
    makeable: bool = (
        False  #: a worker may make it a store: an empty file, or a server where nothing has to be set up first
    )
    remark: str = "not named as the job store"

    def __repr__(self) -> str:
        """Show it without the password."""
        return f"<Candidate {self.source}: {mask(self.url)} ({self.remark})>"


class Finding(NamedTuple):
    """What a look at a candidate told."""

    ours: bool
    remark: str


#: Looks at what stands at a URL, making nothing.
Probe = Callable[[str], Finding]


def candidates(env: Mapping[str, str], folders: Sequence[str]) -> tuple[Candidate, ...]:
    """Return what the environment names for something, perhaps for something else, and the nearest file of our name."""
    found = [
        _server(name, url)
        for name, kinds in (("REDIS_URL", _SERVERS[1:]), ("DATABASE_URL", _SERVERS[:1]))
        if (url := env.get(name, "")) and _is_server(url) and kind_of(url) in kinds
    ]
    places = (os.path.join(folder, _FILE) for folder in folders)
    file = next((place for place in places if os.path.isfile(place)), None)
    return (*found, *([_file(file)] if file is not None else []))


def _is_server(url: str) -> bool:
    known = ("postgres", "postgresql", "redis", "rediss", "unix", "valkey", "valkeys")
    return scheme_of(url) in known


def _server(name: str, url: str) -> Candidate:
    tables = kind_of(url) == "PostgreSQL"
    line = f'export PACKHORSE_URL="${name}"'
    # Tables in somebody's database are made on purpose, and by nothing else.
    return Candidate(name, url, f"{line}; packhorse db migrate" if tables else line, makeable=not tables)


def _file(path: str) -> Candidate:
    url = file_url(path)
    return Candidate(f"found {path}", url, f"export PACKHORSE_URL={url}", makeable=os.path.getsize(path) == 0)


def choose(places: Sequence[Candidate], searched: str, probe: Probe | None) -> Candidate:
    """Return the one place that is meant. A single one is not looked at here: whoever opens it finds out. Raises ``NoStore``."""
    if len(places) == 1:
        return places[0]
    if not places or probe is None:
        raise no_store(places, searched)
    found = [(place, probe(place.url)) for place in places]
    ours = [place for place, finding in found if finding.ours]
    if len(ours) != 1:
        raise no_store([place._replace(remark=finding.remark) for place, finding in found], searched)
    return ours[0]._replace(makeable=False)


def no_store(places: Sequence[Candidate], searched: str) -> NoStore:
    """Return the error that lists what might have been meant, each with the line that settles it."""
    lines = ["no job store was named, and none could be told for sure; nothing was done."]
    for place in places:
        lines += [f"  {place.source}: {mask(place.url)}  ({place.remark})", f"    to use it:  {place.settle}"]
    if not places:
        lines += [
            f"  no {_FILE} in {searched} or above, no REDIS_URL, no PostgreSQL DATABASE_URL.",
            f"  To start one:  export PACKHORSE_URL=sqlite:///{_FILE}",
        ]
    lines.append('  Or say it in the code, Queue(store="sqlite:///jobs.db"), or as  store = "…"  in packhorse.toml.')
    return NoStore("\n".join(lines))


def file_url(path: str) -> str:
    """Return the URL of a file; characters that mean something in a URL are escaped."""
    return "sqlite:///" + path.replace("%", "%25").replace("?", "%3F")
