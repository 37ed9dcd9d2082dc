"""Tasks whose code is elsewhere."""

from __future__ import annotations

import inspect
import json

import pytest

from packhorse import Queue, task
from packhorse._catalogue import entry
from packhorse._told_task import draft_of, signature_of
from packhorse.errors import BadArguments
from packhorse.testing import memory


@task(reserves="book:{book}", limit="{kind}", unique=True, priority=3, delay="5m", tags="x", queue="books", retry=2)
def publish(book: str, /, kind: str = "new", *more: str, copies: int = 1, **rest: str) -> None: ...


@pytest.mark.parametrize(
    "text",
    [
        "f()",
        "f(a)",
        "f(a, b=1)",
        "f(a, /, b='x', *c, d, e=None, **g)",
        "f(a: int = 5, *, b: str)",
        "f(a=[1, 2], b=(3,))",
    ],
)
def test_a_signature_is_read(text: str) -> None:
    found = signature_of(text)
    assert found is not None
    bare = [each.replace(annotation=inspect.Parameter.empty) for each in found.parameters.values()]
    expected = text.replace(": int = 5", "=5").replace(": str", "")
    assert str(found.replace(parameters=bare)) == expected[1:]


@pytest.mark.parametrize("text", ["", "f", "f(", "f(a b)", "(a): import os; def g()"])
def test_what_is_none_is_none(text: str) -> None:
    assert signature_of(text) is None


def test_its_options_hold_where_its_code_is_not() -> None:
    about = json.loads(json.dumps(entry("elsewhere:publish", publish, limited=False)))
    with memory():
        books = Queue("books")
        first, again, other = books.enqueue_many(
            draft_of(books.using(priority=5), "elsewhere:publish", about, args, kwargs)
            for args, kwargs in [(("emma",), {}), (("emma",), {}), (("emma", "old"), {"copies": 2})]
        )
        assert (first.task, first.priority, first.tags, first.state) == ("elsewhere:publish", 5, ("x",), "scheduled")
        assert first.refresh()._record is not None
        assert json.loads(first._record.holds or "") == [["l", "new"], ["x", "book:emma"]]  # type: ignore[union-attr]
        assert again == first
        assert other != first


def test_arguments_that_do_not_fit_are_told() -> None:
    about = entry("elsewhere:publish", publish, limited=False)
    with memory(), pytest.raises(BadArguments, match="missing a required argument"):
        draft_of(Queue(), "elsewhere:publish", about, (), {})


def test_of_a_function_that_is_no_task_nothing_is_told() -> None:
    def plain() -> None: ...

    with memory():
        job = Queue().enqueue_many(
            [draft_of(Queue(), "elsewhere:plain", entry("elsewhere:plain", plain, limited=False), (), {})]
        )[0]
        assert (job.state, job.task) == ("queued", "elsewhere:plain")
