"""What a closed namespace says of itself: where its jobs are going, went, or come from. Pure.

It is kept in the store as one text, ``URL#how:identity#run``: the URL (secrets masked) is for people; ``identity`` tells the
other store for sure, however its URL is written; ``run`` may be missing. Any other text is taken as the URL of where the jobs
have moved.
"""

from __future__ import annotations

import re
from typing import Literal, NamedTuple, cast

from ._url import mask
from .errors import StoreMoved

#: Jobs are on their way to the other store; they are all there, and it is open; they are on their way here from it.
How = Literal["moving", "moved", "filling"]

_TEXT = re.compile(r"(?P<url>.*)#(?P<how>moving|moved|filling):(?P<identity>[^#]*)(?:#(?P<run>[^#]+))?", re.DOTALL)

_SAYS: dict[How, str] = {
    "moving": "is closed: its jobs are moving to {url}; nothing was stored or taken here. Use that one from now on; it opens "
    "when the move has ended.",
    "moved": "is closed: its jobs have moved to {url}; nothing was stored or taken here. Use that one from now on.",
    "filling": "is closed as yet: the jobs of {url} are being moved here; nothing was stored or taken. It opens by itself when "
    "that move has ended.",
}


_WAITS: dict[How, str] = {
    "moving": "it runs elsewhere: this store is closed, since its jobs are moving to",
    "moved": "it runs elsewhere: this is a copy that stayed behind, the jobs of this store have moved to",
    "filling": "it is a copy as yet, and waits until all jobs have been moved here from",
}


_NOTES: dict[How, str] = {"moving": "moving to", "moved": "moved to", "filling": "being filled from"}


class Closed(NamedTuple):
    """Why a namespace is closed."""

    url: str  #: of the other store, secrets masked
    how: How = "moved"
    identity: str = ""  #: of the other store and its namespace
    run: str = ""  #: of the command, the one that did it last

    @property
    def text(self) -> str:
        """Return the text to be kept by ``freeze``."""
        return f"{self.url}#{self.how}:{self.identity}{self.run and '#' + self.run}"


def read(text: str) -> Closed:
    """Return what ``freeze`` was told."""
    found = _TEXT.fullmatch(text)
    if found is None:
        return Closed(mask(text))
    return Closed(mask(found["url"]), cast(How, found["how"]), found["identity"], found["run"] or "")


def note(text: str) -> str:
    """Return the same in three words."""
    closed = read(text)
    return f"{_NOTES[closed.how]} {closed.url}"


def sentence(text: str) -> str:
    """Return why a job waits in a namespace that was frozen with ``text``."""
    closed = read(text)
    return f"{_WAITS[closed.how]} {closed.url}."


def refusal(url: str, namespace: str, text: str) -> StoreMoved:
    """Return the error of ``enqueue`` and ``claim`` on a namespace that was frozen with ``text``."""
    here = mask(url) if namespace == "default" else f"{mask(url)} (namespace {namespace})"
    closed = read(text)
    return StoreMoved(f"The job store {here} {_SAYS[closed.how].format(url=closed.url)}")
