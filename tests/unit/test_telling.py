"""What a worker's log says of jobs that did not go well."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest

from packhorse import Backoff
from packhorse._outcome import failed
from packhorse._record import Claimed
from packhorse._worker.telling import tell

ERROR = {
    "type": "ExitStatus",
    "message": "exit status 3 of p.sh\nno title",
    "code": "E212",
    "traceback": "so\nno title",
}


def said(caplog: pytest.LogCaptureFixture, retries: int, **counts: int) -> str:
    numbers = dict.fromkeys(
        ("failures", "crashes", "losses", "snoozes", "generation", "fence", "priority", "created_at"), 0
    )
    unknown = dict.fromkeys(("options", "scheduled_at", "tags", "meta", "by", "parent", "error"))
    names = {"id": "1" * 36, "token": "t", "task": "p", "queue": "q", "payload": "[[],{}]"}
    fields: dict[str, Any] = {**names, **numbers, **unknown, "crash_fails": False, "suspect": False, **counts}
    job = Claimed(**fields)
    with caplog.at_level(logging.WARNING):
        tell((job, 1, 2, failed(job, Backoff(retries), json.dumps(ERROR))), retries)
    return caplog.messages[-1]


def test_runs_that_use_up_no_retry_count_among_all_there_may_be(caplog: pytest.LogCaptureFixture) -> None:
    assert "attempt 1 of 3 failed" in said(caplog, 2)
    assert "attempt 3 of 4 failed" in said(caplog, 2, failures=1, crashes=1)
    assert "attempt 5 of 5 failed" in said(caplog, 2, failures=2, losses=2)
    assert "attempt 1 failed" in said(caplog, 0)


def test_what_a_command_said_last_stands_beneath_its_exit_status(caplog: pytest.LogCaptureFixture) -> None:
    assert said(caplog, 0).endswith("\n  ExitStatus: exit status 3 of p.sh\n    no title  [E212]")
