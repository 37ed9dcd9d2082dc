"""What stands in the repository beside the code: every file is used, and none tells of a machine."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "packhorse"
#: A path below a home or temporary directory; the second part keeps "/home" of a sentence and the tests' own words out.
MACHINE_PATH = re.compile(r"(?<![\w.-])/(?:home|root|Users|work|var/folders)/[\w.-]+/")
#: Hosts that serve package indexes or files; written in pieces so that this file does not match itself.
REGISTRY = re.compile("|".join(["pypi" + r"\.org", "python" + "hosted", "registry" + r"\.npmjs", "/simp" + "le/"]))


def tracked() -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, text=True, timeout=30,
    )  # fmt: skip
    if listed.returncode:
        pytest.skip("not a git checkout")
    return [ROOT / name for name in listed.stdout.splitlines() if (ROOT / name).is_file()]


def text_of(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace")


STATEMENT = re.compile(r"^-- name: (\w+)", re.MULTILINE)


def queries() -> set[tuple[str, str]]:
    """Every statement as (verb, name): the file, and the heading in it."""
    return {(path.stem, name) for path in SOURCE.rglob("queries/*.sql") for name in STATEMENT.findall(text_of(path))}


def words_of_the_stores() -> tuple[set[str], set[str]]:
    """The texts in the code of the stores, and the ends of those that are put together, as in f"{how}_details"."""
    nodes = [node for path in (SOURCE / "_stores").rglob("*.py") for node in ast.walk(ast.parse(path.read_bytes()))]
    whole = {str(node.value) for node in nodes if isinstance(node, ast.Constant)}
    joined = [node.values[-1] for node in nodes if isinstance(node, ast.JoinedStr) and node.values]
    return whole, {str(end.value) for end in joined if isinstance(end, ast.Constant) and str(end.value).startswith("_")}


def test_every_sql_statement_is_used() -> None:
    words, ends = words_of_the_stores()
    known = words | {word + end for word in words for end in ends}
    assert {(verb, name) for verb, name in queries() if verb not in words or name not in known} == set()


def test_every_sql_file_has_named_statements_or_is_a_migration() -> None:
    for path in SOURCE.rglob("*.sql"):
        if "migrations" in path.parts:
            assert re.match(r"\d{4}_\w+\.sql$", path.name), path
        elif path.parent.name == "_outbox":  # run by users, in their own database
            assert path.stem in ("postgresql", "sqlite"), path
        else:
            assert STATEMENT.match(text_of(path)), path


def test_no_file_names_a_path_of_a_machine() -> None:
    found = [f"{path.relative_to(ROOT)}: {m[0]}" for path in tracked() for m in MACHINE_PATH.finditer(text_of(path))]
    assert found == []


def test_no_file_names_a_package_registry() -> None:
    found = [f"{path.relative_to(ROOT)}: {m[0]}" for path in tracked() for m in REGISTRY.finditer(text_of(path))]
    assert found == []


def test_no_lock_file() -> None:
    locks = {"uv.lock", "poetry.lock", "pdm.lock", "Pipfile.lock", "pylock.toml", "package-lock.json"}
    assert [path.name for path in tracked() if path.name in locks] == []


def test_every_make_target_is_explained() -> None:
    makefile = text_of(ROOT / "Makefile")
    targets = set(re.findall(r"^([a-z]+):", makefile, re.MULTILINE)) - {"lint"}
    explained = set(re.findall(r"^([a-z]+):.*## ", makefile, re.MULTILINE))
    assert targets == explained
    assert {"demo", "test", "check", "bench", "docs", "prove"} <= targets


def test_the_continuous_integration_runs_the_tests() -> None:
    run = ROOT / ".ci" / "run"
    assert run.stat().st_mode & 0o111
    assert "set -euo pipefail" in text_of(run)
    assert "make test" in text_of(run)


IMPORTED = "import sys; before = set(sys.modules); import packhorse; print('\\n'.join(set(sys.modules) - before))"


def test_importing_packhorse_is_light() -> None:
    """Counted and not timed: what takes long to import must not come with the package itself."""
    listed = subprocess.run(
        [sys.executable, "-I", "-c", IMPORTED], capture_output=True, text=True, check=True, timeout=30
    ).stdout.split()
    heavy = {"asyncio", "sqlite3", "click", "cronsim", "subprocess", "multiprocessing", "http", "ssl", "unittest"}
    assert heavy & set(listed) == set()
    assert len(listed) <= 130
