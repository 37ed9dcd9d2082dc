"""Read the blocks of a page: what is to be written to a file, what is to be executed, and what says it is not."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from markdown_it import MarkdownIt

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
EXECUTED = {"python", "console"}
#: Other names for the same languages: written so, a block would be shown but never executed.
DISGUISES = {"py", "python3", "pycon", "sh", "bash", "shell", "shell-session"}
#: A URL in the examples of a page that stands for a fresh database of a real server, not for the host it names.
STANDS_IN = re.compile(r"<!--\s*a server of the tests:\s*(?P<url>\S+?)\s*-->")
SKIP = re.compile(r"<!--\s*not executed:\s*(?P<reason>.*?)\s*-->", re.DOTALL)


@dataclass(frozen=True)
class Block:
    """One fenced block. ``options``: the words after the language, ``title=tasks.py``, ``exit=1``, ``raises=Error``."""

    page: Path
    line: int
    language: str
    options: dict[str, str]
    text: str
    skipped: str | None  #: the reason given

    @property
    def where(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def blocks(page: Path) -> list[Block]:
    """Return the fenced blocks of a page in order."""
    found: list[Block] = []
    reason: str | None = None
    for token in MarkdownIt().parse(page.read_text(encoding="utf-8")):
        if token.type == "html_block":
            match = SKIP.search(token.content)
            reason = match["reason"] if match else None
        elif token.type == "fence":
            language, *words = shlex.split(token.info) or [""]
            options = dict(word.partition("=")[::2] for word in words)
            found.append(Block(page, token.map[0] + 1 if token.map else 0, language, options, token.content, reason))
            reason = None
        elif token.level == 0 and token.nesting >= 0:
            reason = None
    return found


def stand_ins(page: Path) -> list[str]:
    """Return the URLs of a page in whose place the tests put those of real servers."""
    return STANDS_IN.findall(page.read_text(encoding="utf-8"))


def links(page: Path) -> list[str]:
    """Return the targets of all links and images of a page."""
    targets: list[str] = []
    for token in MarkdownIt().parse(page.read_text(encoding="utf-8")):
        for child in token.children or []:
            target = child.attrGet("href") or child.attrGet("src")
            if target is not None:
                targets.append(str(target))
    return targets


def anchors(page: Path) -> set[str]:
    """Return the anchors that the headings of a page give."""
    tokens = MarkdownIt().parse(page.read_text(encoding="utf-8"))
    titles = [after.content for token, after in pairwise(tokens) if token.type == "heading_open"]
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}
