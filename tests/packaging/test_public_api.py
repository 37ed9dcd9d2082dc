"""The names people may import, and what importing them costs."""

from __future__ import annotations

import subprocess
import sys

import pytest

import packhorse

PUBLIC = [
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


def python(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    return done.stdout


def test_the_public_names_are_these() -> None:
    assert sorted(packhorse.__all__) == PUBLIC
    assert set(PUBLIC) <= set(dir(packhorse))


@pytest.mark.parametrize("name", PUBLIC)
def test_every_name_is_there_and_documented(name: str) -> None:
    assert getattr(packhorse, name).__doc__
    assert getattr(packhorse, name) is getattr(packhorse, name)


def test_a_star_import_gives_all_and_nothing_else() -> None:
    space: dict[str, object] = {}
    exec("from packhorse import *", space)
    assert sorted(set(space) - {"__builtins__"}) == PUBLIC


def test_other_names_are_refused_as_usual() -> None:
    with pytest.raises(AttributeError, match="no attribute 'queue'"):
        packhorse.queue  # noqa: B018
    with pytest.raises(ImportError):
        exec("from packhorse import every_thing")


def test_no_module_has_a_public_name() -> None:
    listing = python("import pkgutil, packhorse; print(*[m.name for m in pkgutil.iter_modules(packhorse.__path__)])")
    assert not set(listing.split()) & set(PUBLIC)


def test_importing_loads_nothing_heavy() -> None:
    loaded = python("import sys, packhorse; print(*sys.modules)").split()
    assert [name for name in loaded if name.startswith("packhorse")] == ["packhorse"]
    names = ", ".join(PUBLIC)
    loaded = python(f"import sys\nfrom packhorse import {names}\nprint(*sys.modules)").split()
    assert not {"asyncio", "click", "sqlite3", "tomllib", "concurrent.futures", "packhorse._stores"} & set(loaded)


def test_importing_is_cheap() -> None:
    """Under 25 ms of the processor over bare Python; the best of several, since the machine has other things to do."""
    code = "import time; a = time.process_time(); import packhorse; print(time.process_time() - a)"
    assert min(float(python(code)) for _ in range(5)) < 0.025
