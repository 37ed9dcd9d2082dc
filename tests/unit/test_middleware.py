"""Hooks in the process that enqueues, and the protocols that describe all of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from packhorse import App, Draft, Queue, middleware
from packhorse.errors import BadName, BatchFailed, NotSerialisable, StoreUnavailable
from packhorse.testing import memory

seen: list[str] = []


@pytest.fixture(autouse=True)
def _empty() -> None:
    seen.clear()


def give(value: int) -> int:
    return value


class Around:
    """Notes when it is entered and left."""

    def __init__(self, name: str) -> None:
        self.name = name

    @contextmanager
    def around_enqueue(self, draft: Draft[Any]) -> Iterator[None]:
        seen.append(f"{self.name} in {draft.args[0]}")
        try:
            yield
        finally:
            seen.append(f"{self.name} out")


class Adds:
    @contextmanager
    def around_enqueue(self, draft: Draft[Any]) -> Iterator[None]:
        draft.add(meta={"trace": "t1"}, tags=["traced", "x"])
        assert draft.meta["trace"] == "t1"
        yield


class Vetoes:
    @contextmanager
    def around_enqueue(self, draft: Draft[Any]) -> Iterator[None]:
        if draft.args[0] == 13:
            raise PermissionError("not on a Friday")
        yield


class Swallows:
    @contextmanager
    def around_enqueue(self, draft: Draft[Any]) -> Iterator[None]:
        try:
            yield
        except Exception:
            seen.append("swallowed")


class Replaces:
    @contextmanager
    def around_enqueue(self, draft: Draft[Any]) -> Iterator[None]:
        try:
            yield
        except StoreUnavailable as error:
            raise LookupError("jobs are off") from error


def queue(*hooks: object) -> Queue:
    return Queue("mail", app=App(middleware=hooks), tags="own")


def test_the_first_is_outermost() -> None:
    with memory():
        queue(Around("a"), Around("b")).enqueue(give, 1)
    assert seen == ["a in 1", "b in 1", "b out", "a out"]


def test_a_bulk_is_surrounded_draft_by_draft() -> None:
    with memory():
        mail = queue(Around("a"))
        mail.enqueue_many([mail.draft(give, n) for n in range(2)])
    assert seen == ["a in 0", "a in 1", "a out", "a out"]


def test_it_adds_meta_and_tags() -> None:
    with memory():
        job = queue(Adds()).using(meta={"n": 1}, tags=["x"]).enqueue(give, 1)
        assert (job.meta, job.tags) == ({"n": 1, "trace": "t1"}, ("x", "traced"))
        assert queue(Adds()).enqueue(give, 1).tags == ("own", "traced", "x")


def test_what_cannot_be_kept_is_refused() -> None:
    draft = Queue().draft(give, 1)
    with pytest.raises(NotSerialisable):
        draft.add(meta={"lock": object()})
    with pytest.raises(BadName):
        draft.add(tags="a\nb")
    with pytest.raises(ValueError, match="mapping"):
        draft.add(meta=[1])  # type: ignore[arg-type]
    assert (draft.meta, draft.tags) == ({}, ())


def test_a_veto_stores_nothing() -> None:
    with memory() as store:
        mail = queue(Around("a"), Vetoes())
        with pytest.raises(PermissionError, match="Friday"):
            mail.enqueue(give, 13)
        assert store.jobs == []
        with pytest.raises(BatchFailed) as caught:
            mail.enqueue_many([mail.draft(give, 1), mail.draft(give, 13)])
        assert isinstance(caught.value.__cause__, PermissionError)
        assert store.jobs == []
    assert seen.count("a out") == 3


def test_errors_pass_through_and_may_be_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise StoreUnavailable("gone")

    monkeypatch.setattr("packhorse._runtime.enqueue", refuse)
    with memory():
        with pytest.raises(LookupError, match="jobs are off"):
            queue(Replaces()).enqueue(give, 1)
        # Whoever enqueues must not go on as if the job were stored.
        with pytest.raises(StoreUnavailable):
            queue(Swallows()).enqueue(give, 1)
    assert seen == ["swallowed"]


def test_a_queue_without_the_app_knows_no_middleware() -> None:
    with memory(app=App(middleware=[Around("a")])):
        Queue().enqueue(give, 1)
    assert seen == []


@pytest.mark.parametrize(
    "hook, protocol",
    [
        ("child_started", middleware.ChildStarted),
        ("child_stopping", middleware.ChildStopping),
        ("around_enqueue", middleware.AroundEnqueue),
        ("around_job", middleware.AroundJob),
        ("after_job", middleware.AfterJob),
    ],
)
def test_every_hook_has_a_protocol(hook: str, protocol: Any) -> None:
    has = type("Has", (), {hook: lambda self, *_: None})()
    assert isinstance(has, protocol)
    assert not isinstance(object(), protocol)
    assert protocol.__doc__
    assert App(middleware=[has]).middleware == (has,)
