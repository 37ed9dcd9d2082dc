"""``exchange``: what is settled, admitted and claimed is what these verbs would do one after the other."""

from __future__ import annotations

import uuid

import pytest

from packhorse import _outcome
from packhorse._exchange import Ask
from packhorse._record import Claimed, Verdict
from packhorse._store import Store
from packhorse.errors import StoreMoved

from .making import ERROR, admit, beat, die, join, put, reserving, settle, state, take

FREE = Ask(["mail"], 1, 0, 2)


def begun(store: Store, worker: str, count: int = 1) -> list[Claimed]:
    """Let go who may, and claim some; a store that does several verbs at once may want to have done each by itself before."""
    settle(store, Verdict(str(uuid.uuid4()), "f" * 32, "succeeded", "succeeded"))
    admit(store)
    return take(store, worker, count)


def succeeded(job: Claimed, result: str = "3") -> Verdict:
    return _outcome.succeeded(job, result)


def names(jobs: list[Claimed]) -> list[str]:
    return [job.id for job in jobs]


def test_it_settles_and_claims(store: Store) -> None:
    worker, first, second = join(store), put(store), put(store)
    (running,) = begun(store, worker)
    answer = store.exchange(worker, [succeeded(running)], FREE)
    assert (answer.settled, answer.admitted, names(answer.claim.jobs)) == ([], None, [second])
    assert (state(store, first), state(store, second)) == ("succeeded", "running")
    assert answer.claim.jobs[0].token != running.token


def test_who_waited_for_what_ended_goes_in_the_same_call(store: Store) -> None:
    worker, first, second = join(store), put(store, **reserving("box")), put(store, **reserving("box"))
    (running,) = begun(store, worker, 5)
    assert running.id == first
    answer = store.exchange(worker, [succeeded(running)], FREE)
    assert answer.admitted is not None
    assert (answer.admitted.admitted, names(answer.claim.jobs)) == (1, [second])
    assert not store.freed


def test_with_enough_to_claim_it_looks_at_nobody_who_waits(store: Store) -> None:
    worker, _, second, other = join(store), *(put(store, **reserving(name)) for name in ("box", "box", "other"))
    answer = store.exchange(worker, [succeeded(*begun(store, worker))], FREE)
    assert (answer.admitted, names(answer.claim.jobs)) == (None, [other])
    assert (state(store, second), store.freed) == ("blocked", True)


def test_asked_to_look_it_does_so_before_it_claims(store: Store) -> None:
    worker, _, _ = join(store), put(store, **reserving("box"), priority=1), put(store, **reserving("other"))
    urgent = put(store, **reserving("box"), priority=100)
    (running,) = begun(store, worker)
    answer = store.exchange(worker, [succeeded(running)], FREE, look=True)
    assert answer.admitted is not None
    assert (answer.admitted.admitted, names(answer.claim.jobs)) == (1, [urgent])


def test_both_claims_together_are_the_answer(store: Store) -> None:
    worker, _, waits = join(store), put(store, **reserving("box")), put(store, **reserving("box"))
    (running,) = begun(store, worker)
    plain = put(store)
    answer = store.exchange(worker, [succeeded(running)], FREE._replace(free=2))
    assert sorted(names(answer.claim.jobs)) == sorted([waits, plain])
    reply = beat(store, worker, answer.claim.jobs, 2)
    assert (reply.ghosts, reply.lost) == ([], [])


def test_a_child_goes_with_the_end_of_its_parent(store: Store) -> None:
    worker, parent = join(store), put(store)
    child = put(store, after=(parent,))
    answer = store.exchange(worker, [succeeded(*begun(store, worker))], FREE)
    assert names(answer.claim.jobs) == [child]


def test_without_verdicts_it_is_a_claim(store: Store) -> None:
    worker, job = join(store), put(store)
    answer = store.exchange(worker, [], FREE)
    assert (answer.settled, names(answer.claim.jobs)) == ([], [job])


def test_what_is_claimed_ahead_ends_at_a_job_that_reserves_something(store: Store) -> None:
    worker, first, second, third = join(store), put(store), put(store), put(store)
    put(store, **reserving("box"))
    answer = store.exchange(worker, [succeeded(*begun(store, worker))], FREE._replace(ahead=10))
    assert names(answer.claim.jobs) == [second, third]
    assert state(store, first) == "succeeded"


def test_every_queue_is_asked_also_one_that_had_no_jobs_a_moment_ago(store: Store) -> None:
    worker, every = join(store), FREE._replace(queues=None)
    put(store, "first")
    (running,) = take(store, worker)
    other = put(store, "other")
    (next_one,) = store.exchange(worker, [succeeded(running)], every).claim.jobs
    assert next_one.id == other
    new = put(store, "new")
    answer = store.exchange(worker, [succeeded(next_one)], every._replace(claim_no=3))
    assert names(answer.claim.jobs) == [new]


@pytest.mark.parametrize("look", [False, True])
def test_a_late_outcome_is_told_and_the_claim_goes_on(store: Store, look: bool) -> None:
    worker, _, second = join(store), put(store), put(store)
    verdict = succeeded(*begun(store, worker))
    answer = store.exchange(worker, [verdict._replace(token="f" * 32)], FREE, look=look)
    assert [settled.how for settled in answer.settled] == ["stale"]
    assert names(answer.claim.jobs) == [second]


def test_an_outcome_that_cannot_be_stored_holds_up_nothing(store: Store) -> None:
    worker, first, second = join(store), put(store), put(store)
    (running,) = begun(store, worker)
    alone = put(store, "alone")
    before = store.settle(worker, [succeeded(job, '"\udc80"') for job in take(store, worker, queues=["alone"])])
    answer = store.exchange(worker, [succeeded(running, '"\udc80"')], FREE)
    assert [settled.how for settled in answer.settled] == [settled.how for settled in before]
    assert state(store, first) == state(store, alone)
    assert names(answer.claim.jobs) == [second]


def test_other_outcomes_than_successes(store: Store) -> None:
    worker, first, second = join(store), put(store, **reserving("box")), put(store, **reserving("box"))
    (job,) = begun(store, worker)
    verdict = Verdict(job.id, job.token, "failed", "retrying", 0.1, 0.0, error=ERROR, failures=1, delay=60.0)
    answer = store.exchange(worker, [verdict], FREE)
    assert (state(store, first), names(answer.claim.jobs)) == ("retrying", [second])


def test_to_call_it_again_is_harmless(store: Store) -> None:
    worker, _, second, third = join(store), *(put(store, **reserving(name)) for name in "abc")
    (running,) = begun(store, worker)
    store.exchange(worker, [succeeded(running)], FREE)
    again = store.exchange(worker, [succeeded(running)], FREE._replace(claim_no=3))
    assert [settled.how for settled in again.settled] == ["repeated"]
    assert names(again.claim.jobs) == [third]
    assert beat(store, worker, again.claim.jobs, 3).ghosts == [second], "what the lost answer brought goes back"


def test_a_dead_worker_settles_and_gets_nothing(store: Store) -> None:
    worker, first, _ = join(store), put(store), put(store)
    (running,) = begun(store, worker)
    die(store, worker)
    answer = store.exchange(worker, [succeeded(running)], FREE)
    assert (state(store, first), answer.claim.jobs) == ("succeeded", [])


def test_a_closed_store_takes_outcomes_and_gives_nothing(store: Store) -> None:
    worker, first, second = join(store), put(store), put(store)
    (running,) = begun(store, worker)
    store.freeze("sqlite:///elsewhere.db")
    with pytest.raises(StoreMoved):
        store.exchange(worker, [succeeded(running)], FREE)
    assert (state(store, first), state(store, second)) == ("succeeded", "queued")


def test_by_turns_everybody_goes_and_nobody_overtakes(store: Store) -> None:
    """As a worker with two slots does it: no name twice at a time, until all have ended."""
    worker = join(store)
    lines = {name: [put(store, **reserving(name), id=str(uuid.uuid4())) for _ in range(8)] for name in "abcd"}
    running, number = begun(store, worker, 2), 1
    order = names(running)
    while running:
        assert len({job.holds for job in running}) == len(running), "two hold one name"
        number += 1
        ask = FREE._replace(free=2, claim_no=number)
        answer = store.exchange(worker, [succeeded(job) for job in running], ask, look=number % 7 == 0)
        assert answer.settled == []
        running = answer.claim.jobs
        order += names(running)
    for line in lines.values():
        assert [job for job in order if job in line] == line
