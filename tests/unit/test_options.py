"""Options: their checks, and which level wins."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, timezone
from itertools import combinations
from types import MappingProxyType
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from packhorse import _options
from packhorse._backoff import Backoff
from packhorse._options import (
    AT_ONCE,
    DEFAULT_TIMEOUT,
    NONE,
    UNSET,
    JobOptions,
    Options,
    check,
    effective,
    extend,
    merge,
)
from packhorse._signals import Interrupted
from packhorse.errors import BadName, BadOption, NaiveTime
from packhorse.flows import Flow

AT = datetime(2026, 11, 20, 12, 0, 0, 1, tzinfo=UTC)
AT_MICROS = 1_795_176_000_000_001
ID = "01890000-0000-7000-8000-000000000001"


@pytest.mark.parametrize(
    "given_, found",
    [
        ({"id": ID}, {"id": ID}),
        ({"id": UUID(ID)}, {"id": ID}),
        ({"id": ID.upper()}, {"id": ID}),
        ({"delay": 90}, {"delay": 90.0}),
        ({"delay": "1h30m"}, {"delay": 5400.0}),
        ({"delay": timedelta(minutes=1)}, {"delay": 60.0}),
        ({"delay": 0}, {"delay": 0.0}),
        ({"at": AT}, {"at": AT_MICROS}),
        ({"at": AT.astimezone(timezone(timedelta(hours=5)))}, {"at": AT_MICROS}),
        ({"at": datetime(1969, 12, 31, 23, 59, 59, tzinfo=UTC)}, {"at": -1_000_000}),
        ({"expires": "5m"}, {"expires": 300.0}),
        ({"expires": AT}, {"expires_at": AT_MICROS}),
        ({"priority": -100}, {"priority": -100}),
        ({"priority": 100}, {"priority": 100}),
        ({"retry": 5}, {"retry": Backoff(5)}),
        ({"retry": Backoff(3, base=2)}, {"retry": Backoff(3, base=2)}),
        ({"timeout": None}, {"timeout": None}),
        ({"timeout": "8h"}, {"timeout": 28800.0}),
        ({"on_crash": "fail"}, {"crash_fails": True}),
        ({"on_crash": "retry"}, {"crash_fails": False}),
        ({"tags": "one word"}, {"tags": ("one word",)}),
        ({"tags": ["a", "b", "a"]}, {"tags": ("a", "b")}),
        ({"tags": {"b", "a"}}, {"tags": ("a", "b")}),
        ({"tags": []}, {"tags": ()}),
        ({"tags": "é" * 250}, {"tags": ("é" * 250,)}),
        ({"tags": [str(n) for n in range(100)]}, {"tags": tuple(str(n) for n in range(100))}),
        ({"unique": "ada"}, {"unique": "ada"}),
        ({"unique": True}, {"unique": True}),
        ({"unique": False}, {"unique": False}),
        ({"unique_until": "started"}, {"unique_until": "started"}),
        ({"unique_until": "5m"}, {"unique_until": 300.0}),
        ({"unique_until": timedelta(seconds=2)}, {"unique_until": 2.0}),
        ({"span": "flow"}, {"span": "flow"}),
        ({"on_conflict": "raise"}, {"on_conflict": "raise"}),
        ({"reserves": "box:1"}, {"reserves": ("box:1",)}),
        ({"reserves": ["b", "a", "b"]}, {"reserves": ("b", "a")}),
        ({"shares": {"b", "a"}}, {"shares": ("a", "b")}),
        ({"limit": ("smtp", "api")}, {"limit": ("smtp", "api")}),
        ({"flow": "import 7"}, {"flow": "import 7"}),
        ({"flow": None}, {"flow": None}),
        ({"after": ID.upper()}, {"after": (ID,), "after_flow": None}),
        ({"after": [ID, "flow:f", ID]}, {"after": (ID,), "after_flow": "f"}),
        ({"after": Flow("f")}, {"after": (), "after_flow": "f"}),
        ({"after": ()}, {"after": (), "after_flow": None}),
        ({"after_failure": "run"}, {"after_failed": True}),
        ({"after_failure": "cancel"}, {"after_failed": False}),
        ({"meta": {"a": 1}}, {"meta": '{"a":1}'}),
        ({"meta": MappingProxyType({"a": (1,)})}, {"meta": '{"a":{"$tuple":[1]}}'}),
        ({"keep_result": False}, {"keep_result": False}),
        ({"keep_result": True}, {"keep_result": True}),
        ({"keep_result": "7d"}, {"keep_result": 604800.0}),
        ({}, {}),
    ],
)
def test_options_are_checked_and_normalised(given_: dict[str, Any], found: dict[str, Any]) -> None:
    options = check(given_, "using()")
    for name in Options.__annotations__:
        value, expected = getattr(options, name), found.get(name, UNSET)
        assert (value, type(value)) == (expected, type(expected)), name


@pytest.mark.parametrize(
    "given_, words",
    [
        ({"dealy": 5}, "'dealy' is not an option. Did you mean 'delay'?"),
        ({"zzz": 5}, "There are: id, delay, at, expires"),
        ({"id": "short"}, "UUID"),
        ({"id": "x" * 36}, "UUID"),
        ({"id": 7}, "UUID"),
        ({"id": ID.replace("-", "")}, "36 characters"),
        ({"delay": -1}, "between 0 and 100 years"),
        ({"delay": "-5m"}, "duration"),
        ({"delay": "soon"}, "duration"),
        ({"delay": float("nan")}, "between 0"),
        ({"delay": True}, "duration"),
        ({"delay": None}, "duration"),
        ({"at": 5}, "datetime"),
        ({"at": "2026-01-01"}, "datetime"),
        ({"at": AT, "delay": 5}, "give one of them"),
        ({"expires": -1}, "between 0"),
        ({"priority": 101}, "-100 to 100"),
        ({"priority": -101}, "-100 to 100"),
        ({"priority": 1.5}, "-100 to 100"),
        ({"priority": True}, "-100 to 100"),
        ({"retry": -1}, "from 0"),
        ({"retry": "5"}, "Backoff"),
        ({"retry": True}, "from 0"),
        ({"retry": 1.5}, "Backoff"),
        ({"timeout": 0}, "stop every run at once"),
        ({"timeout": -1}, "between 0"),
        ({"timeout": False}, "duration"),
        ({"on_crash": "explode"}, '"retry" or "fail"'),
        ({"on_crash": True}, '"retry" or "fail"'),
        ({"unique": 5}, "a key, True"),
        ({"unique": None}, "a key, True"),
        ({"unique_until": "ended"}, '"started", "finished" or a duration'),
        ({"unique_until": 0}, "no time at all"),
        ({"unique_until": True}, "duration"),
        ({"span": "all"}, '"job" or "flow"'),
        ({"on_conflict": "ignore"}, '"return", "replace" or "raise"'),
        ({"reserves": ["a", "b"], "shares": "b"}, "'b' is both in reserves and in shares"),
        ({"after": None}, "jobs, their whole ids, a flow"),
        ({"after": "01890000"}, "jobs, their whole ids, a flow"),
        ({"after": [5]}, "jobs, their whole ids, a flow"),
        ({"after": ["flow:a", "flow:b"]}, "one flow, not for 2"),
        ({"after_failure": "ignore"}, '"cancel" or "run"'),
        ({"meta": [1]}, "mapping"),
        ({"keep_result": None}, "duration"),
        ({"keep_result": -1}, "between 0"),
        ({"queue": "x"}, "option of @task"),
        ({"name": "x"}, "option of @task"),
    ],
    ids=str,
)
def test_what_makes_no_sense_is_refused(given_: dict[str, Any], words: str) -> None:
    with pytest.raises(BadOption, match=r"^mail\.using\(\).*\[E123\]$") as caught:
        check(given_, "mail.using()")
    assert words in str(caught.value)
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize("option", ["at", "expires"])
def test_a_time_without_a_zone_is_refused(option: str) -> None:
    with pytest.raises(NaiveTime, match=r"no time zone.*\[E129\]"):
        check({option: datetime(2026, 1, 1)}, "using()")  # noqa: DTZ001


@pytest.mark.parametrize(
    "tags",
    ["", "a\nb", "a\0", "\x7f", "\x85", "\u2028", "x" * 501, "é" * 251, "\ud800", [1], 5, None, b"x", ["a", None],
     [str(n) for n in range(101)]],
    ids=lambda tags: repr(tags)[:20],
)  # fmt: skip
@pytest.mark.parametrize("option", ["tags", "reserves", "shares", "limit"])
def test_keys_have_rules(option: str, tags: Any) -> None:
    with pytest.raises(BadName, match=rf"{option}.*\[E128\]"):
        check({option: tags}, "using()")


@pytest.mark.parametrize("key", ["", "a\nb", "x" * 501])
def test_unique_keys_and_flows_have_the_same_rules(key: str) -> None:
    for option in ("unique", "flow"):
        with pytest.raises(BadName, match=rf"{option}.*\[E128\]"):
            check({option: key}, "using()")
    with pytest.raises(BadOption, match="after"):
        check({"after": f"flow:{key}"}, "using()")


@pytest.mark.parametrize("name", ["", "a b", "ä", "a/b", "x" * 201, "a\n", "a#b", "a@b", None, 5])
def test_queue_names_have_rules(name: Any) -> None:
    with pytest.raises(BadOption, match="queue"):
        check({"queue": name}, "@task", "task")


@pytest.mark.parametrize("name", ["default", "Mail.out:eu-1_x", "x" * 200])
def test_queue_names_within_the_rule_are_taken(name: str) -> None:
    assert check({"queue": name}, "@task", "task").queue == name


@pytest.mark.parametrize("name", ["billing.charge", "x" * 100, "a-b_c.9"])
def test_task_names_within_the_rule_are_taken(name: str) -> None:
    options = check({"name": name, "aliases": [name, "app.old:Charge.run"]}, "@task", "task")
    assert options.name == name
    assert options.aliases == (name, "app.old:Charge.run")


@pytest.mark.parametrize("name", ["", "A", "a:b", "a b", "x" * 101, "a/b", None, 5, "$x"])
def test_task_names_have_rules(name: Any) -> None:
    with pytest.raises(BadName, match=r"\[E128\]"):
        check({"name": name}, "@task", "task")


@pytest.mark.parametrize("level", ["task", "Queue", "App"])
@pytest.mark.parametrize("option", ["id", "at", "after"])
def test_what_belongs_to_one_job_is_refused_elsewhere(level: Any, option: str) -> None:
    with pytest.raises(BadOption, match=rf"'{option}' belongs to one job, so it goes in using"):
        check({option: AT if option == "at" else ID}, "here", level)


@pytest.mark.parametrize("level", ["call", "task", "Queue", "App"])
def test_all_other_options_exist_on_every_level(level: Any) -> None:
    everything = {"delay": 1, "expires": 2, "priority": 3, "retry": 4, "timeout": 5, "on_crash": "fail", "tags": "t",
                  "meta": {}, "keep_result": True, "unique": "u", "unique_until": 6, "span": "job", "on_conflict": "raise",
                  "reserves": "r", "shares": "s", "limit": "l", "flow": "f", "after_failure": "run"}  # fmt: skip
    assert everything.keys() == JobOptions.__annotations__.keys() - {"id", "at", "after"}
    assert check(everything, "here", level).priority == 3


def test_later_changes_to_what_was_given_do_not_count() -> None:
    meta, tags = {"a": 1}, ["x"]
    options = check({"meta": meta, "tags": tags}, "using()")
    meta["b"] = 2
    tags.append("y")
    assert (options.meta, options.tags) == ('{"a":1}', ("x",))


# -- levels --


def level(**options: Any) -> Options:
    return check(options, "here", "using")


VALUES: dict[str, tuple[Any, ...]] = {
    "priority": (1, 2, 3, 4),
    "delay": (1, 2, 3, 4),
    "expires": (1, 2, 3, 4),
    "on_crash": ("fail", "retry", "fail", "retry"),
    "tags": ("a", "b", "c", "d"),
    "meta": ({"a": 1}, {"b": 1}, {"c": 1}, {"d": 1}),
}
STORED = {"on_crash": "crash_fails"}


@pytest.mark.parametrize("option", VALUES)
@pytest.mark.parametrize("given_", [c for n in range(5) for c in combinations(range(4), n)], ids=str)
def test_the_nearest_level_wins(option: str, given_: tuple[int, ...]) -> None:
    levels = [level(**{option: VALUES[option][n]}) if n in given_ else NONE for n in range(4)]
    merged = merge(*levels)
    alone = merge(levels[given_[0]], NONE, NONE, NONE) if given_ else merge(NONE, NONE, NONE, NONE)
    field = STORED.get(option, option)
    assert getattr(merged, field) == getattr(alone, field)
    if given_:
        expected = VALUES[option][given_[0]]
        said = {"on_crash": expected == "fail", "tags": json.dumps([expected]), "meta": expected}.get(option, expected)
        assert (json.loads(merged.meta or "null") if option == "meta" else getattr(merged, field)) == said


def test_without_options_the_defaults_are_stored() -> None:
    assert merge(NONE, NONE, NONE, NONE) == (0, 0.0, None, None, None, None, False, None, None, AT_ONCE)


def test_when_to_start_is_one_choice() -> None:
    merged = merge(level(at=AT), level(delay=5), level(delay=6), NONE)
    assert (merged.delay, merged.at) == (0.0, AT_MICROS)
    merged = merge(level(expires=AT), level(expires=5), NONE, NONE)
    assert (merged.expires, merged.expires_at) == (None, AT_MICROS)
    merged = merge(level(expires=7), NONE, level(expires=AT), NONE)
    assert (merged.expires, merged.expires_at) == (7.0, None)


def test_using_twice_lets_the_later_one_hold() -> None:
    both = extend(level(priority=1, at=AT, expires=AT), level(delay=5, expires=6, tags="x"))
    assert (both.priority, both.at, both.delay, both.expires, both.expires_at, both.tags) == (
        1, UNSET, 5.0, 6.0, UNSET, ("x",)
    )  # fmt: skip
    assert extend(NONE, both) is both
    assert extend(both, NONE).delay == 5.0


# -- what is read at each attempt --


def policy(using: Mapping[str, Any], task: Mapping[str, Any], queue: Mapping[str, Any], app: Mapping[str, Any]) -> Any:
    """As it happens: enqueued here, stored, run there."""
    at_task, at_app = level(**task), level(**app)
    stored = merge(level(**using), at_task, level(**queue), at_app).options
    return effective(stored, at_task, at_app)


@pytest.mark.parametrize("given_", [c for n in range(1, 5) for c in combinations(range(4), n)], ids=str)
@pytest.mark.parametrize(
    "option, values",
    [
        ("timeout", (None, 2, 3, None)),
        ("retry", (1, 2, Backoff(delays=(3,)), 4)),
        ("keep_result", (False, True, 5, False)),
    ],
)
def test_the_worker_finds_the_nearest_level_too(option: str, values: tuple[Any, ...], given_: tuple[int, ...]) -> None:
    levels = [{option: values[n]} if n in given_ else {} for n in range(4)]
    expected = values[given_[0]]
    found = getattr(policy(*levels), option)
    assert found == (Backoff.of(expected) if option == "retry" else expected)
    assert type(found) is not bool or type(expected) is bool


def test_what_the_code_says_is_not_stored_so_that_a_deploy_changes_it() -> None:
    assert merge(NONE, level(timeout=1, retry=2, keep_result=False), NONE, level(timeout=3)).options is None
    stored = merge(level(timeout=1), NONE, level(retry=2), NONE).options
    assert json.loads(stored or "") == {"timeout": 1.0, "queue": {"retry": Backoff(2).data()}}


def test_the_built_in_policy() -> None:
    plain = effective(None, None, None)
    assert (plain.retry, plain.timeout, plain.keep_result, plain.timeout_given) == (Backoff(0), 3600.0, True, False)
    assert plain is effective(None, None, None)
    assert DEFAULT_TIMEOUT == 3600
    assert effective(None, level(timeout=None), None).timeout_given


# -- backoff survives storage --


class Feed(Exception): ...


class Gone(Feed): ...


BACKOFFS = st.builds(
    Backoff,
    st.integers(0, 100),
    base=st.floats(0, 1e6),
    cap=st.floats(0, 1e6),
    factor=st.floats(1, 100),
    jitter=st.booleans(),
    delays=st.lists(st.floats(0, 1e6), max_size=4),
    only=st.sampled_from([(Exception,), (Feed,), (Feed, OSError)]),
    never=st.sampled_from([(), (Gone,), (Interrupted,)]),
)
ERRORS = (Feed(), Gone(), ValueError(), FileNotFoundError(), Interrupted("timeout"), KeyboardInterrupt(), SystemExit())


@given(BACKOFFS)
def test_a_backoff_is_the_same_after_storage(backoff: Backoff) -> None:
    back = Backoff.of(json.loads(json.dumps(backoff.data())))
    assert back == backoff
    assert hash(back) == hash(backoff)
    assert [back.wants(error) for error in ERRORS] == [backoff.wants(error) for error in ERRORS]
    assert back.refuses(Interrupted) == backoff.refuses(Interrupted)
    assert [back.delay(n) for n in (1, 2, 50)] == [backoff.delay(n) for n in (1, 2, 50)] or back.jitter


@pytest.mark.parametrize(
    "backoff, wanted",
    [
        (Backoff(1), "Feed Gone ValueError FileNotFoundError Interrupted"),
        (Backoff(1, only=(Feed,)), "Feed Gone Interrupted"),
        (Backoff(1, never=(Gone,)), "Feed ValueError FileNotFoundError Interrupted"),
        (Backoff(1, only=(Feed,), never=(Gone, Interrupted)), "Feed"),
        (Backoff(1, never=(Exception,)), "Interrupted"),
        (Backoff(1, only=(OSError,), never=(BaseException,)), ""),
    ],
)
def test_only_and_never_choose_among_errors(backoff: Backoff, wanted: str) -> None:
    for one in (backoff, Backoff.of(backoff.data())):
        assert [type(error).__name__ for error in ERRORS if one.wants(error)] == wanted.split()


def test_a_stored_class_is_only_compared_by_name() -> None:
    data = {**Backoff(1).data(), "only": ["surely_not_installed:Error"], "never": [f"{__name__}:Gone"]}
    backoff = Backoff.of(data)
    assert not backoff.wants(Feed())
    assert backoff.data() == data


def test_the_reference_lists_every_option_and_its_default() -> None:
    from pathlib import Path

    page = (Path(__file__).parents[2] / "docs" / "reference" / "options.md").read_text(encoding="utf-8")
    rows = {line.split("|")[1].strip().strip("`") for line in page.splitlines() if line.startswith("| `")}
    assert rows >= set(_options.TaskOptions.__annotations__) | set(JobOptions.__annotations__)
