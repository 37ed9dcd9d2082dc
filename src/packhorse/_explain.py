"""The long texts of error codes: what each means, what usually causes it, what to do. One Markdown file a code."""

from __future__ import annotations

import re
from functools import lru_cache
from importlib.resources import files

from .errors import tree

_FOLDER = "_explanations"
_FILE = re.compile(r"(E\d{3})\.md")


@lru_cache(maxsize=1)
def codes() -> tuple[str, ...]:
    """Return every code that has a text, in order."""
    names = (entry.name for entry in files(__package__).joinpath(_FOLDER).iterdir())
    return tuple(sorted(match[1] for name in names if (match := _FILE.fullmatch(name))))


def text(code: str) -> str:
    """Return the text of a code as Markdown, beginning with its heading. Raises ``KeyError`` for an unknown one."""
    if code not in codes():
        raise KeyError(code)
    return files(__package__).joinpath(_FOLDER, f"{code}.md").read_text(encoding="utf-8")


def title(code: str) -> str:
    """Return what a code is about, in a few words."""
    return text(code).partition("\n")[0].removeprefix("# ").partition(" ")[2].strip()


def page() -> str:
    """Return ``docs/reference/errors.md``: all texts in one page, and the class that carries each code."""
    classes = tree()
    parts = [_HEAD]
    for code in codes():
        body = text(code).removeprefix("# ").rstrip("\n")
        heading, _, rest = body.partition("\n")
        named = f"\n`packhorse.errors.{classes[code].__name__}`\n" if code in classes else ""
        parts.append(f"## {heading}\n{named}{rest}\n")
    return "\n".join(parts)


_HEAD = """\
# Error codes

Every message of Packhorse ends with a code. `packhorse explain CODE` prints the same text, offline. A code is never
reused for something else. Codes from E200 tell of a job, lower ones of what was asked for or of how things are set up.
"""
