"""The work of the demo: plain functions, run in the background by a real worker."""

from __future__ import annotations

import ast
import lzma
import os
import signal
import warnings
from collections.abc import Iterator
from pathlib import Path

from packhorse import current_job

#: Folders of a library that are not part of it.
NOT_OURS = {"__pycache__", "site-packages", "dist-packages"}


def sources(folder: str, deep: bool) -> list[Path]:
    """Return the Python files of a package, or (not deep) the single modules of a folder."""
    found = Path(folder).rglob("*.py") if deep else Path(folder).glob("*.py")
    return sorted(path for path in found if not NOT_OURS & set(path.relative_to(folder).parts))


def compress(folder: str, deep: bool = True) -> dict[str, float]:
    """Compress a package and measure how much smaller it gets."""
    press = lzma.LZMACompressor(preset=4)
    before = after = 0
    for path in with_progress(sources(folder, deep)):
        text = path.read_bytes()
        before += len(text)
        after += len(press.compress(text))
    after += len(press.flush())
    return {"bytes": before, "ratio": round(before / after, 2)}


def count_functions(folder: str, deep: bool = True) -> dict[str, int]:
    """Parse every file of a package and count what it defines. Some of a library's test files are broken on purpose."""
    counts = {"files": 0, "broken": 0, "functions": 0, "classes": 0}
    for path in with_progress(sources(folder, deep)):
        counts["files"] += 1
        try:
            nodes = list(ast.walk(parse(path)))
        except (SyntaxError, ValueError):
            counts["broken"] += 1
            continue
        counts["functions"] += sum(isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) for node in nodes)
        counts["classes"] += sum(isinstance(node, ast.ClassDef) for node in nodes)
    return counts


def parse(path: Path) -> ast.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what old code is warned of is not our subject
        return ast.parse(path.read_bytes())


def with_progress(paths: list[Path]) -> Iterator[Path]:
    """Go through the files and let everybody who asks know how far it is."""
    for done, path in enumerate(paths):
        if done % 20 == 0:
            current_job().progress(done, len(paths), path.name)
        yield path


def fail_twice() -> str:
    """Fail in the first two attempts, as a service does that is just being restarted."""
    attempt = current_job().attempt
    if attempt <= 2:
        raise ConnectionError(f"attempt {attempt}: the other side is not there yet")
    return f"there, in attempt {attempt}"


def die_once() -> str:
    """Be killed in the first attempt, as by the kernel when memory runs out."""
    if current_job().attempt == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return "alive, in a new process"


def run_away() -> int:
    """Never end by itself."""
    turns = 0
    while True:
        turns += 1
