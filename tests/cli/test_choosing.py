"""The options that choose jobs are the same everywhere: also where they ran, how they ended, and several batches."""

from __future__ import annotations

import pytest

from packhorse._outcome import parked
from packhorse._record import JobRecord
from tests.cli.test_report import found, run


def record(world, job: str) -> JobRecord:
    return world.store.get([job])[0]


@pytest.fixture
def six(world) -> list[str]:
    """Three batches; the last job of each went wrong on another host."""
    made = []
    for batch in (1, 2, 3):
        made.append(run(world, "publish", 0, "ash", flow=f"batch-{batch}"))
        made.append(run(world, "publish", batch, "elm", flow=f"batch-{batch}"))
    return made


def test_a_range_of_batches_is_listed_newest_first_and_goes_on(cli, world, six):
    assert found(cli, "--batch", "1-2") == [six[3], six[2], six[1], six[0]]
    assert found(cli, "--batch", "2-9", "--exit", "3,2") == [six[5], six[3]]
    page = cli("jobs", "list", "--batch", "1-3", "--limit", "4", "--json").data
    assert [job["id"] for job in page["jobs"]] == six[:1:-1]
    assert found(cli, "--batch", "1-3", "--limit", "4", "--after", str(page["next"])) == [six[1], six[0]]
    assert (page["searched"], page["total"]) == (4, 6)


def test_members_of_batches_that_were_stored_in_turn_are_in_order(cli, world):
    made = [world.job("publish", flow=f"batch-{1 + number % 2}") for number in range(30)]
    assert found(cli, "--batch", "1-2", "--limit", "7") == made[:-8:-1]
    assert found(cli, "--batch", "1-2") == made[::-1]


def test_reports_of_several_batches(cli, six):
    whole = cli("report", "--batch", "1-2", "--json").data["all"]
    assert (whole["jobs"], whole["failed"]) == (4, 2)


@pytest.mark.parametrize(
    "words, done",
    [
        (["--exit", "2"], [3]),
        (["--host", "elm", "--batch", "2-3"], [3, 5]),
        (["--batch", "1-3", "--state", "failed"], [1, 3, 5]),
        (["--host", "elm", "--state", "succeeded"], []),
    ],
)
def test_what_is_done_to_jobs_takes_the_same_conditions(cli, world, six, words, done):
    assert f"{len(done)} job" in cli("jobs", "requeue", *words, "--dry-run").out if done else True
    cli("jobs", "requeue", *words, "--yes")
    assert [number for number, job in enumerate(six) if record(world, job).state == "queued"] == done


def test_copies_and_deletions_by_exit_status(cli, world, six):
    assert "2 jobs stored in batch 4" in cli("jobs", "copy", "--exit", "1,3", "--yes").out
    assert "3 jobs deleted" in cli("jobs", "delete", "--host", "elm", "--yes").out
    assert found(cli, "--batch", "1-3") == [six[4], six[2], six[0]]


def test_jobs_that_wait_are_changed_by_where_they_ran(cli, world, six):
    cli("jobs", "requeue", "--all", "--yes")
    assert "2 jobs changed" in cli("jobs", "edit", "host:elm", "batch:2-3", "--priority", "7", "--yes").out
    assert [record(world, job).priority for job in six] == [0, 0, 0, 7, 0, 7]
    assert "1 job changed" in cli("jobs", "edit", "exit:3", "--priority", "9", "--yes").out


def test_a_batch_and_a_flow_exclude_each_other(cli, six):
    assert "not both" in cli("jobs", "list", "--batch", "1", "--flow", "batch-1").err
    assert "two like 812-815" in cli("jobs", "cancel", "--batch", "many", "--yes").err


# -- why --batch ------------------------------------------------------------------------------------------------------
def test_why_tells_what_the_jobs_of_a_batch_wait_for(cli, world, six):
    cli("jobs", "requeue", "--batch", "2", "--yes")
    cli("queues", "pause", *(record(world, job).queue for job in six[2:4]))
    told = cli("why", "--batch", "2").out
    assert "batch-2  2 queued" in told
    assert told.count("paused") == 2
    assert told.count("1 job could run") == 2
    data = cli("why", "--batch", "1-2", "--json").data["batches"]
    assert [each["flow"] for each in data] == ["batch-1", "batch-2"]
    assert [each["counts"] for each in data[1]["queues"]] == [{"queued": 1}, {"queued": 1}]


def test_why_of_a_batch_that_is_over_and_of_none(cli, six):
    assert "nothing of it waits" in cli("why", "--batch", "1").out
    assert "no such batch" in cli("why", "--batch", "77").out
    assert cli("why").code == 2
    assert cli("why", six[0], "--batch", "1").code == 2


def test_why_of_a_batch_names_the_program_that_nobody_runs(cli, world):
    worker = world.worker()
    for _ in range(2):
        world.job("$publish.sh", '[["publish.sh"],{}]', flow="batch-5")
    for claimed in world.claim(worker, 2):
        reason = "no live worker runs this program: publish.sh (it is not allowed here)"
        verdict = parked(claimed._replace(task="$publish.sh"), claimed.queue)._replace(reason=reason)
        world.store.settle(worker.id, [verdict])
    told = cli("why", "--batch", "5").out
    assert "2 jobs: no live worker runs this program: publish.sh (it is not allowed here)." in told
