"""What is said when the store does not answer an enqueue."""

from __future__ import annotations

import pytest

from packhorse._enqueuing import reason, unreachable
from packhorse.errors import StoreUnavailable


@pytest.mark.parametrize(
    "said, why",
    [
        ("cannot reach the job store redis://:***@h:1/0: connection refused. Nothing was stored.", "connection refused"),
        ("redis://h/0: the server cannot be used at present: it is loading. Nothing was stored.", "the server cannot be used at "
         "present: it is loading"),
        ("postgresql://u:***@h/db?x=1: no answer in time; nothing was stored.", "no answer in time"),
        ("There is no job store at /srv/jobs.db.", "There is no job store at /srv/jobs.db."),
        ("locked", "locked"),
    ],
)  # fmt: skip
def test_what_the_message_around_it_says_anyway_is_left_out(said: str, why: str) -> None:
    assert reason(StoreUnavailable(said)) == why


def test_the_message_of_a_store_that_cannot_be_reached() -> None:
    refused = StoreUnavailable(
        "cannot reach the job store redis://:***@10.0.0.5:6379/0: connection refused. Nothing was stored."
    )
    url = "redis://:hunter2@10.0.0.5:6379/0"
    assert str(unreachable(url, "from REDIS_URL", refused, ", the job was NOT enqueued")) == (
        "cannot reach the job store, the job was NOT enqueued.\n"
        "  redis://:***@10.0.0.5:6379/0  (from REDIS_URL)  →  connection refused\n"
        "  Try:  redis-cli -h 10.0.0.5 ping     Or start without Redis:  PACKHORSE_URL=sqlite:///packhorse.db      [E101]"
    )
