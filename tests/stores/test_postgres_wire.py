"""PostgreSQL: statements that are sent all at once, and what comes back of them."""

from __future__ import annotations

import time
from collections.abc import Iterator

import psycopg
import pytest
from psycopg import errors
from psycopg.conninfo import conninfo_to_dict

from packhorse._stores.postgres.link import Link, connect
from packhorse._stores.postgres.wire import NoAnswer
from tests.servers.postgres import database_of, fresh_url

MANY = 3_000_000  # characters: more than the sockets of both ends hold


@pytest.fixture
def link() -> Iterator[Link]:
    found = connect(dict(conninfo_to_dict(database_of(fresh_url()))), 30.0)
    yield found
    found.drop()


@pytest.fixture(params=[True, False], ids=["prepared", "plain"])
def prepare(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


def test_each_has_its_own_rows(link: Link, prepare: bool) -> None:
    asked = [
        (b"SELECT $1::bigint, $2::text", (None, "a")),
        (b"CREATE TEMPORARY TABLE t (n bigint)", ()),
        (b"INSERT INTO t SELECT unnest($1::bigint[]) RETURNING n", ([3, 4],)),
        (b"SELECT $1::bigint, $2::text", (7, None)),
        (b"SELECT n FROM t WHERE n > $1", (3,)),
    ]
    assert link.run(asked, prepare=prepare) == [[(None, "a")], [], [(3,), (4,)], [(7, None)], [(4,)]]
    assert link.run([], prepare=prepare) == []


def test_outside_of_a_transaction_they_are_one(link: Link, prepare: bool) -> None:
    link.run([(b"CREATE TEMPORARY TABLE t (n bigint PRIMARY KEY)", ())], prepare=prepare)
    insert = (b"INSERT INTO t VALUES ($1)", (1,))
    with pytest.raises(errors.UniqueViolation):
        link.run([insert, (b"SELECT 1", ()), insert, (b"SELECT 2", ())], prepare=prepare)
    assert link.run([(b"SELECT n FROM t", ())], prepare=prepare) == [[]]


def test_what_came_after_an_error_can_be_asked_again(link: Link) -> None:
    """What the server did not come to prepare is not taken for prepared."""
    after = (b"SELECT $1::bigint + 1", (1,))
    for statement in (b"SELECT * FROM nowhere", b"SELECT 1 / $1::bigint"):
        with pytest.raises((errors.UndefinedTable, errors.DivisionByZero)):
            link.run([(b"SELECT 5", ()), (statement, () if b"nowhere" in statement else (0,)), after], prepare=True)
        assert link.run([after, (b"SELECT 5", ())], prepare=True) == [[(2,)], [(5,)]]


def test_a_value_that_cannot_be_sent_leaves_the_session_alone(link: Link, prepare: bool) -> None:
    with pytest.raises(psycopg.DataError):
        link.run([(b"SELECT 1", ()), (b"SELECT $1::text", ("a\0b",))], prepare=prepare)
    assert link.run([(b"SELECT 1", ())], prepare=prepare) == [[(1,)]]


def test_more_than_fits_between_both_ends(link: Link, prepare: bool) -> None:
    """Who only sent would wait for a server that waits for somebody to read."""
    asked = [(b"SELECT $1::text", (str(number) * MANY,)) for number in range(4)]
    assert [len(rows[0][0]) for rows in link.run(asked, prepare=prepare)] == [MANY] * 4


def test_nothing_is_waited_for_longer_than_the_deadline(link: Link, prepare: bool) -> None:
    before = time.monotonic()
    link.deadline = before + 0.2
    with pytest.raises(NoAnswer):
        link.run([(b"SELECT pg_sleep(30)", ())], prepare=prepare)
    assert 0.2 <= time.monotonic() - before < 20


def test_a_notification_on_the_way_is_passed_on(link: Link, prepare: bool) -> None:
    heard = []
    link.add_notify_handler(lambda notice: heard.append(notice.channel))
    link.run([(b"LISTEN here", ())], prepare=False)
    link.run([(b"NOTIFY here", ()), (b"SELECT 1", ())], prepare=prepare)
    link.run([(b"SELECT 1", ())], prepare=prepare)
    assert heard == ["here"]


def test_a_session_that_has_ended_says_so(link: Link, prepare: bool) -> None:
    with psycopg.connect(database_of(fresh_url()), autocommit=True) as other:
        other.execute(b"SELECT pg_terminate_backend(%s)", (link.pgconn.backend_pid,))
    with pytest.raises(psycopg.OperationalError):
        for _ in range(100):
            link.run([(b"SELECT 1", ())], prepare=prepare)
            time.sleep(0.01)
