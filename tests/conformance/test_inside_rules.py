"""inside, with waiting rules: the same as enqueue, from the commit on."""

from __future__ import annotations

from typing import Any

import pytest

from packhorse._admission import Obstacle
from packhorse._inside import Inside
from packhorse._store import Store
from packhorse.errors import StoreError, UniqueConflict, UnknownParent

from .making import admit, ids, join, limited, new_job, obstacle, put, reserving, sharing, state, take_one, the
from .test_inside import Caller, caller, callers, inside  # noqa: F401


@pytest.mark.parametrize(
    "changes",
    [
        sharing("a", "b"),
        {**reserving("a"), "delay": 60.0, "flow": "f"},
        {**limited("a"), "after_flow": "f", "after_failed": True},
        {"unique": "k", "unique_until": "started"},
        {"unique": "k", "unique_until": 60.0, "flow": "f"},
    ],
)
def test_a_job_with_rules_is_stored_as_enqueue_stores_it(
    store: Store,
    caller: Caller,  # noqa: F811
    inside: Inside,  # noqa: F811
    changes: dict[str, Any],
) -> None:
    key = changes.get("unique")
    one, two = (new_job(**{**changes, "unique": key and f"{key}{number}"}) for number in (1, 2))
    answer = caller.enqueue(inside, one).jobs[0]
    caller.commit()
    plain = store.enqueue([two])[0]
    assert answer._replace(id="") == plain._replace(id="")
    assert the(store, one.id)._replace(id="", seq=0, unique_key=None) == the(store, two.id)._replace(
        id="", seq=0, unique_key=None
    )


def test_eighty_three_jobs_with_edges_between_them(store: Store, caller: Caller, inside: Inside) -> None:  # noqa: F811
    join(store)
    stored = put(store)
    jobs = [new_job(after=(stored,))]
    for number in range(82):
        jobs.append(new_job(after=(jobs[-1].id, jobs[number // 2].id), flow="f"))
    caller.enqueue(inside, *jobs[:40])
    caller.enqueue(inside, *jobs[40:])
    assert admit(store) == (0, 0)
    assert store.flows() == []
    caller.commit()
    assert admit(store) == (0, 0)
    assert obstacle(store, jobs[0].id) == Obstacle("after", stored)
    assert store.flows()[0].counts["blocked"] == 82
    assert {job.state for job in store.get([job.id for job in jobs])} == {"blocked"}


def test_what_waits_is_let_go_after_the_commit(store: Store, caller: Caller, inside: Inside) -> None:  # noqa: F811
    join(store)
    job = new_job(**reserving("a"))
    caller.enqueue(inside, job)
    assert admit(store) == (0, 0)
    caller.commit()
    assert admit(store) == (1, 0)
    assert state(store, job.id) == "queued"


def test_a_rollback_leaves_no_key_no_edge_and_no_member(store: Store, caller: Caller, inside: Inside) -> None:  # noqa: F811
    parent = put(store)
    caller.enqueue(inside, new_job(unique="k", after=(parent,), flow="f"))
    caller.rollback()
    assert store.flows() == []
    assert store.delete(ids(parent)).done == (parent,)
    assert not store.enqueue([new_job(unique="k")])[0].existing


def test_what_is_wrong_leaves_the_transaction_as_it_was(store: Store, caller: Caller, inside: Inside) -> None:  # noqa: F811
    put(store, unique="k")
    before, after = new_job(), new_job()
    caller.enqueue(inside, before)
    with pytest.raises(UnknownParent):
        caller.enqueue(inside, new_job(), new_job(after=(new_job().id,)))
    with pytest.raises(UniqueConflict):
        caller.enqueue(inside, new_job(), new_job(unique="k", on_conflict="raise"))
    caller.enqueue(inside, after)
    caller.commit()
    assert len(store.export(0)) == 3


def test_a_key_that_is_held_answers_with_its_holder(store: Store, caller: Caller, inside: Inside) -> None:  # noqa: F811
    first = put(store, unique="k")
    mine = new_job(unique="other")
    answers = caller.enqueue(inside, new_job(unique="k"), mine, new_job(unique="other")).jobs
    assert [(answer.id, answer.existing) for answer in answers] == [(first, True), (mine.id, False), (mine.id, True)]
    replacing = new_job(unique="k", on_conflict="replace")
    caller.enqueue(inside, replacing)
    assert state(store, first) == "queued"
    caller.commit()
    assert (state(store, first), the(store, first).reason) == ("cancelled", f"replaced by {replacing.id}")


@pytest.mark.parametrize("how", ["commit", "rollback"])
def test_nobody_else_gets_a_key_while_a_transaction_is_open_that_takes_it(
    store: Store,
    other: Store,
    caller: Caller,  # noqa: F811
    inside: Inside,  # noqa: F811
    how: str,
) -> None:
    mine, theirs = new_job(unique="k"), new_job(unique="k")
    caller.enqueue(inside, mine)
    other.patience = 4.0
    with pytest.raises(StoreError):
        other.enqueue([theirs])
    getattr(caller, how)()
    (answer,) = other.enqueue([theirs])
    assert (answer.id, answer.existing) == ((mine.id, True) if how == "commit" else (theirs.id, False))


def test_a_job_that_ends_in_a_transaction_frees_what_it_held(store: Store, caller: Caller, inside: Inside) -> None:  # noqa: F811
    worker = join(store)
    first = put(store, unique="k", flow="f", **reserving("a"))
    waiters = [put(store, **reserving("a")), put(store, after=(first,)), put(store, after_flow="f")]
    admit(store)
    assert caller.complete(inside, take_one(store, worker))
    assert admit(store) == (0, 0)
    caller.commit()
    assert admit(store) == (3, 0)
    assert {state(store, job) for job in waiters} == {"queued"}
    assert not store.enqueue([new_job(unique="k")])[0].existing
