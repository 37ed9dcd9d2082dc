"""Chains and groups within a transaction of the caller's own."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from packhorse import Queue
from packhorse.errors import UniqueConflict, UnknownParent, WrongHandle
from packhorse.flows import Flow, achain, chain, group

from .tasks import add


@pytest.fixture
def queue(tmp_path: Path) -> Queue:
    found = Queue("mail", store=f"sqlite:///{tmp_path}/jobs.db")
    found.enqueue(add, 0, 0)
    return found


@pytest.fixture
def db(queue: Queue, tmp_path: Path) -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(tmp_path / "jobs.db", timeout=5)
    yield connection
    connection.close()


def drafts(queue: Queue, number: int) -> list[Any]:
    return [queue.draft(add, each, 1) for each in range(number)]


def test_they_are_stored_when_it_commits(queue: Queue, db: sqlite3.Connection) -> None:
    db.execute("BEGIN IMMEDIATE")
    last = chain(*drafts(queue, 3), within=db)
    summed = group(drafts(queue, 3), then=queue.draft(add, 1, 2), within=db, flow="import")
    assert (last.state, summed.state, summed.flow) == ("blocked", "blocked", "import")
    assert queue.counts()["blocked"] == 0
    db.commit()
    assert (last.refresh().state, summed.refresh().state) == ("blocked", "blocked")
    assert queue.counts()["blocked"] == 3
    assert len(queue.jobs(flow="import")) == 4


def test_and_not_at_all_if_it_is_rolled_back(queue: Queue, db: sqlite3.Connection) -> None:
    db.execute("BEGIN IMMEDIATE")
    flow = group(drafts(queue, 3), within=db)
    assert isinstance(flow, Flow)
    db.rollback()
    assert queue.jobs(flow=flow.id) == []


def test_rules_are_checked_inside_too(queue: Queue, db: sqlite3.Connection) -> None:
    held = queue.using(unique="k").enqueue(add, 1, 1)
    db.execute("BEGIN IMMEDIATE")
    again = queue.using(unique="k").within(db).enqueue(add, 2, 2)
    assert (again.id, again.existing) == (held.id, True)
    with pytest.raises(UniqueConflict):
        queue.using(unique="k", on_conflict="raise").within(db).enqueue(add, 3, 3)
    db.rollback()
    db.execute("BEGIN IMMEDIATE")
    with pytest.raises(UnknownParent):
        queue.using(after="0190e6a4-0000-7000-8000-000000000000").within(db).enqueue(add, 4, 4)
    db.rollback()
    assert len(queue.jobs()) == 2


def test_colours_are_told_apart(queue: Queue, db: sqlite3.Connection) -> None:
    with pytest.raises(WrongHandle):
        asyncio.run(achain(*drafts(queue, 2), within=db))
