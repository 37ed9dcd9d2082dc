"""That size does not matter: hot statements walk an index and sort nothing; and what the short ways must not change."""

from __future__ import annotations

import json
import subprocess
import sys
import uuid
from importlib.resources import files
from pathlib import Path

import pytest

from packhorse._record import NewJob, Verdict, WorkerRecord
from packhorse._store import JobFilter
from packhorse._stores.sqlite import SqliteStore, look, queries
from packhorse.errors import AmbiguousId

MANY = 3000


@pytest.fixture
def store(tmp_path: Path) -> SqliteStore:
    made = SqliteStore(f"sqlite:///{tmp_path}/jobs.db")
    made.register(WorkerRecord("w", "name", "host", 1, "boot"))
    return made


def new(payload: str = "[[],{}]", **more: object) -> NewJob:
    return NewJob(str(uuid.uuid4()), "m:f", "q", payload)._replace(**more)  # type: ignore[arg-type]


def succeed(store: SqliteStore, count: int) -> list[str]:
    claimed = store.claim(None, count, 0, "w", 1).jobs
    verdicts = [Verdict(j.id, j.token, "succeeded", "succeeded", 0.2, 0.1, True, "1") for j in claimed]
    assert store.settle("w", verdicts) == []
    return [job.id for job in claimed]


@pytest.mark.parametrize(
    "verb, name, index",
    [
        ("claim", "first", "packhorse_jobs_ready"),
        ("claim", "ranks", "packhorse_jobs_ready"),
        ("claim", "heads", "packhorse_jobs_ready"),
        ("search", "resting_down", "packhorse_jobs_resting"),
        ("search", "resting_up", "packhorse_jobs_resting"),
        ("upkeep", "ended", "packhorse_jobs_resting"),
        ("upkeep", "stored_at", "packhorse_jobs_resting"),
        ("upkeep", "range", "packhorse_jobs_resting"),
        ("upkeep", "blocked", "packhorse_jobs_blocked"),
        ("search", "running", "packhorse_claims_running"),
        ("search", "queued", "packhorse_jobs_ready"),
        ("upkeep", "due", "packhorse_details_due"),
        ("upkeep", "next_due", "packhorse_details_due"),
        ("upkeep", "expired", "packhorse_details_waits"),
        ("upkeep", "over", "packhorse_details_drop"),
        ("beat", "mine", "packhorse_claims_running"),
        ("look", "by_id", "packhorse_jobs_id"),
        ("look", "before", "packhorse_jobs_ready"),
        ("look", "head", "packhorse_jobs_ready"),
        ("steering", "end_pauses", "packhorse_lines_pauses"),
        ("upkeep", "next_due", "packhorse_lines_pauses"),
        ("upkeep", "orphans", "packhorse_claims_running"),
    ],
)
def test_a_statement_walks_its_index(store: SqliteStore, verb: str, name: str, index: str) -> None:
    statement = queries.sql(verb, name)
    names = {word.strip(",()") for word in statement.replace(":", " :").split() if word.startswith(":")}
    values = {word[1:].strip(",()"): 1 for word in names}
    plan = [row[3] for row in store._live().execute(f"EXPLAIN QUERY PLAN {statement}", values)]
    assert any(index in step for step in plan), plan
    assert not any(step.startswith("SCAN packhorse_jobs") and "INDEX" not in step for step in plan), plan
    if name in ("first", "ranks", "heads", "resting_down", "resting_up", "ended", "stored_at", "range"):
        assert not any("TEMP B-TREE" in step for step in plan), plan


def test_every_statement_is_used_and_every_file_is_ascii() -> None:
    code = "".join(file.read_text() for file in Path(str(files("packhorse._stores.sqlite"))).glob("*.py"))
    for file in (files("packhorse._stores.sqlite") / "queries").iterdir():
        if file.name.endswith(".sql"):
            for name in queries._verb(file.name.removesuffix(".sql")):
                assert f'"{name}"' in code or f'"{name.split("_")[-1]}"' in code or "{how}_" in code, (file.name, name)


def test_counts_are_kept_over_batches_of_all_sizes(store: SqliteStore) -> None:
    for size in (1, 3, 4, 17, 64, 300, 1000):
        store.enqueue([new() for _ in range(size)])
    total = sum((1, 3, 4, 17, 64, 300, 1000))
    assert len(succeed(store, 333)) == 333
    assert store.queues()[0].counts == {"queued": total - 333, "succeeded": 333}


def test_counts_are_kept_although_single_jobs_are_counted_later(store: SqliteStore) -> None:
    for _ in range(700):
        store.enqueue([new()])
    assert store.queues()[0].counts == {"queued": 700}
    assert store.find(JobFilter(), 1).total == 700
    assert store._live().execute("SELECT value FROM packhorse_meta WHERE key = 'counted'").fetchone() == (512,)
    store.enqueue([new(), new(delay=9.0)])
    store.enqueue([new()])
    assert store.queues()[0].counts == {"queued": 702, "scheduled": 1}
    succeeded = succeed(store, 702)
    assert store.queues()[0].counts == {"succeeded": 702, "scheduled": 1}
    store.enqueue([new(queue="other")])
    store.delete(JobFilter(ids=tuple(succeeded[-3:])))
    assert {queue.name: queue.counts for queue in store.queues()} == {
        "other": {"queued": 1},
        "q": {"succeeded": 699, "scheduled": 1},
    }


def test_a_number_that_is_given_again_is_counted_again(store: SqliteStore) -> None:
    for _ in range(2):
        jobs = [new() for _ in range(300)]
        store.enqueue(jobs)
        store.enqueue([new(queue="q2")])
        assert {queue.name: sum(queue.counts.values()) for queue in store.queues()} == {"q": 300, "q2": 1}
        assert len(store.delete(JobFilter(states=("queued",))).done) == 301
        assert {queue.name: dict(queue.counts) for queue in store.queues()} == {"q": {}, "q2": {}}


def test_claims_keep_the_order_of_a_batch(store: SqliteStore) -> None:
    jobs = [new(json.dumps([[n], {}])) for n in range(700)]
    store.enqueue(jobs)
    claimed = store.claim(["q"], 700, 0, "w", 1).jobs
    assert [(job.id, job.payload) for job in claimed] == [(job.id, job.payload) for job in jobs]


@pytest.mark.parametrize("text", ["\x1e", "a\x1eb", "", "\x1f,"])
def test_texts_with_the_separator_in_them_come_back_as_they_were(store: SqliteStore, text: str) -> None:
    jobs = [new(), new(text, by=text or None), new()]
    store.enqueue(jobs)
    claimed = store.claim(None, 10, 0, "w", 1).jobs
    assert [(job.payload, job.by) for job in claimed] == [(job.payload, job.by) for job in jobs]


def test_a_success_is_settled_by_a_connection_that_did_not_claim_it(store: SqliteStore) -> None:
    store.enqueue([new(), new()])
    claimed = store.claim(None, 2, 0, "w", 1).jobs
    other = SqliteStore(store.url)
    verdicts = [Verdict(j.id, j.token, "succeeded", "succeeded", plain=True, result="1") for j in claimed]
    assert other.settle("w", verdicts) == []
    assert [answer.how for answer in store.settle("w", verdicts)] == ["repeated", "repeated"]
    assert store.queues()[0].counts == {"succeeded": 2}


def test_one_stale_success_does_not_hold_up_the_plain_ones(store: SqliteStore) -> None:
    store.enqueue([new() for _ in range(5)])
    claimed = store.claim(None, 5, 0, "w", 1).jobs
    first = claimed[0]
    SqliteStore(store.url).settle(None, [Verdict(first.id, first.token, "lost", "queued", losses=1)])
    verdicts = [Verdict(j.id, j.token, "succeeded", "succeeded", plain=True, result="1") for j in claimed]
    assert [(answer.job, answer.how) for answer in store.settle("w", verdicts)] == [(first.id, "stale")]
    assert store.queues()[0].counts == {"queued": 1, "succeeded": 4}


def test_one_unstorable_verdict_does_not_hold_up_the_plain_ones(store: SqliteStore) -> None:
    store.enqueue([new() for _ in range(9)])
    claimed = store.claim(None, 9, 0, "w", 1).jobs
    verdicts = [Verdict(j.id, j.token, "succeeded", "succeeded", plain=True, result="1") for j in claimed]
    verdicts[4] = verdicts[4]._replace(result="\ud800")
    answers = store.settle("w", verdicts)
    assert [(answer.job, answer.how) for answer in answers] == [(claimed[4].id, "unstorable")]
    assert store.queues()[0].counts == {"failed": 1, "succeeded": 8}
    assert (store.get([claimed[4].id])[0].reason or "").startswith("outcome cannot be stored: ")


def test_a_late_success_of_a_deleted_job_leaves_nothing_behind(store: SqliteStore) -> None:
    store.enqueue([new(), new()])
    claimed = store.claim(None, 2, 0, "w", 1).jobs
    gone = claimed[0]
    other = SqliteStore(store.url)
    other.settle(None, [Verdict(gone.id, gone.token, "failed", "failed", failures=1)])
    assert other.delete(JobFilter(ids=(gone.id,))).done == (gone.id,)
    verdicts = [Verdict(j.id, j.token, "succeeded", "succeeded", plain=True, result="1") for j in claimed]
    assert [(answer.job, answer.how, answer.state) for answer in store.settle("w", verdicts)] == [
        (gone.id, "stale", None)
    ]
    assert store._live().execute("SELECT count(*), min(ns) FROM packhorse_jobs").fetchone() == (1, 1)
    assert store.queues()[0].counts == {"succeeded": 1}


def test_results_are_kept_beside_the_jobs_and_go_with_them(store: SqliteStore) -> None:
    jobs = [new() for _ in range(4)]
    store.enqueue(jobs)
    claimed = store.claim(None, 4, 0, "w", 1).jobs
    texts = ["null", None, "0", '"null"']
    verdicts = [
        Verdict(job.id, job.token, "succeeded", "succeeded", plain=True, result=text)
        for job, text in zip(claimed, texts, strict=True)
    ]
    store.settle("w", verdicts)
    assert [job.result for job in store.get([job.id for job in jobs])] == texts
    store.requeue(JobFilter(ids=(jobs[2].id,)))
    store.delete(JobFilter(ids=(jobs[3].id,)))
    assert store._live().execute("SELECT count(*) FROM packhorse_results").fetchone() == (0,)


def claims(store: SqliteStore) -> list[tuple[int, int]]:
    """Return (jobs, running) of each claim that is on record, oldest first."""
    return store._live().execute(
        "SELECT jobs, running FROM packhorse_claims WHERE no > 16777216 ORDER BY no"
    ).fetchall()  # fmt: skip


def test_a_claim_is_on_record_as_long_as_a_job_names_it(store: SqliteStore) -> None:
    store.enqueue([new() for _ in range(5)])
    first = succeed(store, 2)
    second = store.claim(None, 3, 0, "w", 2).jobs
    assert claims(store) == [(2, 0), (3, 3)]
    back, failed, held = second
    store.settle("w", [Verdict(back.id, back.token, "retry", "queued", error="{}", failures=1)])
    store.settle("w", [Verdict(failed.id, failed.token, "failed", "failed", error="{}", failures=1)])
    assert claims(store) == [(2, 0), (3, 1)]
    (again,) = store.claim(None, 3, 0, "w", 3).jobs
    assert (again.id, claims(store)) == (back.id, [(2, 0), (2, 1), (1, 1)])
    store.delete(JobFilter(ids=(*first, failed.id)))
    assert claims(store) == [(1, 1), (1, 1)]
    store.settle("w", [Verdict(j.id, j.token, "succeeded", "succeeded", plain=j is held) for j in (held, again)])
    store.delete(JobFilter(states=("succeeded",)))
    assert claims(store) == [(0, 0)]  # the newest stays, so that its number is never given again
    store.enqueue([new()])
    succeed(store, 1)
    store.delete(JobFilter(states=("succeeded",)))
    assert claims(store) == [(0, 0)]


def test_a_fence_grows_although_the_clock_goes_back(tmp_path: Path) -> None:
    time = [5_000_000]
    store = SqliteStore(f"sqlite:///{tmp_path}/back.db", clock=lambda: time[0])
    store.register(WorkerRecord("w", "name", "host", 1, "boot"))
    store.enqueue([new(), new()])
    (first,) = store.claim(None, 1, 0, "w", 1).jobs
    time[0] = 1_000_000
    store.settle("w", [Verdict(first.id, first.token, "released", "queued")])
    again = store.claim(None, 2, 0, "w", 2).jobs
    assert [(job.id == first.id, job.fence) for job in again] == [(True, 5_000_001), (False, 1_000_000)]
    assert len({job.token for job in again}) == 1
    assert claims(store) == [(1, 1), (1, 1)]
    assert store.beat("w", 2, [(job.id, job.token) for job in again]).lost == []
    assert store.settle("w", [Verdict(j.id, j.token, "succeeded", "succeeded", plain=True) for j in again]) == []


def test_running_jobs_are_found_by_their_claims(store: SqliteStore) -> None:
    store.enqueue([new(queue=f"q{n % 3}", priority=n % 2) for n in range(60)])
    held = [(job.id, job.token) for job in store.claim(None, 50, 0, "w", 1).jobs]
    assert {job.id for job in store.find(JobFilter(states=("running",)), 100).jobs} == {id for id, _ in held}
    reply = store.beat("w", 1, held[10:])
    assert (sorted(reply.ghosts), reply.lost) == (sorted(id for id, _ in held[:10]), [])
    store.leave("w")
    assert {(orphan.job, orphan.token) for orphan in store.orphans()} == set(held[10:])


def test_pages_walk_all_of_a_state_in_order(store: SqliteStore) -> None:
    store.enqueue([new(queue=f"q{n % 3}", task=f"m:f{n % 2}") for n in range(MANY)])
    succeed(store, 1000)
    for which in (
        JobFilter(states=("succeeded",)),
        JobFilter(states=("queued",)),
        JobFilter(queue="q1"),
        JobFilter(task="m:f1", states=("succeeded", "queued")),
        JobFilter(),
    ):
        seqs: list[int] = []
        after = None
        while True:
            page = store.find(which, 170, after)
            seqs += [job.seq for job in page.jobs]
            after = page.next
            if after is None:
                break
        assert seqs == sorted(set(seqs), reverse=True)
        records = store.get([row[0] for row in store._live().execute("SELECT id FROM packhorse_jobs")])
        wanted = [
            job
            for job in records
            if (not which.states or job.state in which.states)
            and which.queue in (None, job.queue)
            and which.task in (None, job.task)
        ]
        assert len(seqs) == len(wanted)


def test_the_store_is_imported_without_what_only_waiting_needs() -> None:
    code = (
        "import sys; import packhorse._stores.sqlite; print(sorted({'ctypes', 'tempfile', 'uuid'} & set(sys.modules)))"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert told.stdout == "[]\n"


def test_an_id_by_its_ending_is_looked_for_but_not_for_ever(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = [new() for _ in range(40)]
    twins = [new()._replace(id=f"{n}-12345678") for n in range(2)]
    store.enqueue([*jobs, *twins])
    monkeypatch.setattr(look, "_ENDING_STEP", 7)
    assert [store.get([job.id[-8:]])[0].id for job in jobs] == [job.id for job in jobs]
    assert store.get(["notthere"]) == []
    with pytest.raises(AmbiguousId, match=r"More than one .* 1-12345678, 0-12345678"):
        store.get(["12345678"])
    monkeypatch.setattr(look, "_ENDING_PATIENCE", -1.0)
    newest, oldest = (each(job.id for job in jobs) for each in (max, min))
    with pytest.raises(AmbiguousId, match=rf"newest 7 jobs, only {newest} has .* Give the whole id"):
        store.get([newest[-8:]])
    with pytest.raises(AmbiguousId, match=r"newest 7 jobs, no job has"):
        store.get([oldest[-8:]])


def test_a_batch_of_plain_jobs_is_stored_as_each_of_them_alone(tmp_path: Path) -> None:
    jobs = [
        new(task=f"m:f{n % 3}", queue=f"q{n % 2}", priority=n % 4 - 1, by=None if n % 5 else "{}") for n in range(40)
    ]
    one, many, mixed = (
        SqliteStore(f"sqlite:///{tmp_path}/{name}.db", clock=lambda: 1_000_000) for name in ("one", "many", "mixed")
    )
    answers = [answer for job in jobs for answer in one.enqueue([job])]
    assert many.enqueue(jobs) == answers
    tagged = new(tags='["t"]')
    assert mixed.enqueue([*jobs, tagged])[:-1] == answers
    ids = [job.id for job in jobs]
    assert one.get(ids) == many.get(ids) == mixed.get(ids)
    assert one.queues() == many.queues() == [queue for queue in mixed.queues() if queue.name != "q"]
    assert mixed.get([tagged.id])[0].tags == '["t"]'
