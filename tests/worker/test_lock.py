"""The lock file: who can take it knows that its worker is dead."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from contextlib import closing
from pathlib import Path

import pytest

from packhorse._record import WorkerRecord
from packhorse._store import Capabilities
from packhorse._stores import open_store
from packhorse._worker.lock import WorkerLock, place_for, proves_dead

HOLD = """
import sys
from packhorse._worker.lock import WorkerLock
lock = WorkerLock(sys.argv[1], "w")
print(lock.inode, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path: Path):  # type: ignore[no-untyped-def]
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    yield process
    process.kill()
    process.communicate()


def record(directory: Path, inode: int, host: str = "ash") -> WorkerRecord:
    return WorkerRecord(
        id="w", name="w", host=host, pid=1, boot_id="b", lock_path=str(directory / "w.lock"), lock_inode=inode
    )


def test_a_held_lock_proves_nothing_until_its_holder_is_killed(tmp_path: Path, holder: subprocess.Popen[str]) -> None:
    assert holder.stdout is not None
    inode = int(holder.stdout.readline())
    assert not proves_dead(record(tmp_path, inode), "ash")
    holder.kill()
    holder.wait()
    assert proves_dead(record(tmp_path, inode), "ash")


def test_another_file_in_its_place_proves_nothing(tmp_path: Path) -> None:
    (tmp_path / "w.lock").write_text("")
    inode = (tmp_path / "w.lock").stat().st_ino
    assert proves_dead(record(tmp_path, inode), "ash")
    assert not proves_dead(record(tmp_path, inode + 1), "ash")


def test_a_missing_file_proves_nothing(tmp_path: Path) -> None:
    assert not proves_dead(record(tmp_path, 1), "ash")


def test_another_host_is_never_judged(tmp_path: Path) -> None:
    (tmp_path / "w.lock").write_text("")
    inode = (tmp_path / "w.lock").stat().st_ino
    assert not proves_dead(record(tmp_path, inode, host="elm"), "ash")


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.write_text("")
    (tmp_path / "w.lock").symlink_to(target)
    assert not proves_dead(record(tmp_path, target.stat().st_ino), "ash")


def test_it_is_private_and_gone_after_release(tmp_path: Path) -> None:
    lock = WorkerLock(str(tmp_path / "locks"), "w")
    assert os.stat(lock.path).st_mode & 0o777 == 0o600
    assert os.stat(tmp_path / "locks").st_mode & 0o777 == 0o700
    lock.release()
    assert not os.path.exists(lock.path)


class Elsewhere:
    """As much of a store on a server as is looked at."""

    capabilities = Capabilities("redis", durable=True, processes=True, hints=True)

    def lock_dir(self) -> None:
        return None


def test_on_a_server_it_lies_in_the_runtime_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    assert place_for(Elsewhere()) == f"{tmp_path}/packhorse"  # type: ignore[arg-type]
    assert os.stat(tmp_path / "packhorse").st_mode & 0o777 == 0o700


def test_a_directory_that_others_can_write_to_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "runtime"))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    (tmp_path / "runtime" / "packhorse").mkdir(parents=True)
    (tmp_path / "runtime" / "packhorse").chmod(0o777)
    own = f"{tmp_path}/packhorse-{os.geteuid()}"
    assert place_for(Elsewhere()) == own  # type: ignore[arg-type]
    os.rmdir(own)
    (tmp_path / "elsewhere").mkdir()
    os.symlink(tmp_path / "elsewhere", own)
    assert place_for(Elsewhere()) is None  # type: ignore[arg-type]


def test_a_store_has_a_place_of_its_own_or_needs_none(tmp_path: Path) -> None:
    with closing(open_store(f"sqlite:///{tmp_path}/jobs.db")) as store:
        assert place_for(store) == store.lock_dir()
    with closing(open_store("memory://")) as store:
        assert place_for(store) is None
