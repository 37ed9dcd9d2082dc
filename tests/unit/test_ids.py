"""Ids: form, order, and that processes and threads never share one."""

from __future__ import annotations

import os
import threading
import time
import uuid

import pytest

from packhorse import _ids
from packhorse._ids import new_id


def test_it_is_a_uuid_of_version_7() -> None:
    parsed = uuid.UUID(new_id())
    assert (parsed.version, parsed.variant) == (7, uuid.RFC_4122)
    assert str(parsed) == str(uuid.UUID(str(parsed)))


def test_it_tells_the_time() -> None:
    before = time.time_ns() // 1_000_000
    millisecond = uuid.UUID(new_id()).int >> 80
    assert before <= millisecond <= time.time_ns() // 1_000_000 + 50


def test_ids_of_one_thread_sort_in_the_order_they_were_made() -> None:
    made = [new_id() for _ in range(20_000)]
    assert made == sorted(made)
    assert len(set(made)) == len(made)


def test_order_holds_when_the_clock_steps_back(monkeypatch: pytest.MonkeyPatch) -> None:
    first = new_id()
    monkeypatch.setattr(_ids, "time_ns", lambda: 1_000_000_000)
    later = [new_id() for _ in range(10_000)]
    assert [first, *later] == sorted([first, *later])
    assert len(set(later)) == len(later)


def test_threads_never_share_an_id() -> None:
    made: list[str] = []

    def make() -> None:
        made.extend([new_id() for _ in range(5_000)])

    threads = [threading.Thread(target=make) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(made)) == 20_000


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_process_makes_others() -> None:
    new_id()
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writer, "".join(new_id() for _ in range(100)).encode())
        os._exit(0)
    mine = {new_id()[19:] for _ in range(100)}
    os.close(writer)
    with os.fdopen(reader) as file:
        text = file.read()
    os.waitpid(child, 0)
    theirs = {text[i : i + 36][19:] for i in range(0, len(text), 36)}
    assert len(theirs) == 100
    assert not mine & theirs


def test_a_seed_of_the_program_changes_nothing() -> None:
    import random

    random.seed(1)
    first = new_id()[19:]
    random.seed(1)
    assert new_id()[19:] != first
