"""A wrong call is told at enqueue, in words."""

import functools
from collections.abc import Callable
from typing import Any

import pytest

from packhorse._signature import check_call, shown, signature_of, spelled
from packhorse._task import task
from packhorse.errors import BadArguments


def mail(to: str, *, subject: str = "") -> None: ...
def add(a: int, b: int = 1) -> int: ...  # type: ignore[empty-body]
def only(a: int, /, b: int) -> None: ...
def many(*parts: int, **named: int) -> None: ...
def needs(a: int, *, key: int) -> None: ...
def nothing() -> None: ...
def later(delay: float) -> None: ...
async def fetch(url: str, tags: "list[str]") -> None: ...


@functools.wraps(add)
def wrapped(*args: Any, **kwargs: Any) -> Any:
    return add(*args, **kwargs)


@task
def declared(a: int) -> None: ...


class Home:
    def method(self, a: int) -> None: ...
    @classmethod
    def build(cls, a: int) -> None: ...
    @staticmethod
    def static(a: int) -> None: ...


RIGHT: list[tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]] = [
    (mail, ("a",), {}),
    (mail, ("a",), {"subject": "s"}),
    (mail, (), {"to": "a"}),
    (add, (1,), {}),
    (add, (1, 2), {}),
    (add, (1,), {"b": 2}),
    (only, (1,), {"b": 2}),
    (many, (), {}),
    (many, (1, 2, 3), {"delay": 4}),
    (needs, (1,), {"key": 2}),
    (nothing, (), {}),
    (later, (), {"delay": 5}),
    (wrapped, (1, 2), {}),
    (declared, (1,), {}),
    (Home.build, (1,), {}),
    (Home.static, (1,), {}),
    (Home.method, (Home(), 1), {}),
    (fetch, ("u", []), {}),
    (max, (1, 2), {"anything": 1}),  # Python does not know its signature
]


@pytest.mark.parametrize("fn, args, kwargs", RIGHT)
def test_a_right_call_passes(fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    check_call(fn, args, kwargs, "tasks:fn")


@pytest.mark.parametrize(
    "fn, args, kwargs, words",
    [
        (mail, (), {}, "misses 'to' — mail(to: str, *, subject: str = '')"),
        (mail, (), {"subject": "s"}, "misses 'to'"),
        (mail, ("a", "s"), {}, "takes 1 positional argument, not 2"),
        (mail, ("a",), {"subjekt": 1}, "has no argument 'subjekt'"),
        (mail, ("a",), {"to": "b"}, "multiple values for argument 'to'"),
        (add, (), {}, "misses 'a'"),
        (add, (1, 2, 3), {}, "takes 2 positional arguments, not 3"),
        (only, (1,), {}, "misses 'b'"),
        (only, (), {"a": 1, "b": 2}, "positional only"),
        (needs, (1,), {}, "misses 'key'"),
        (needs, (), {}, "misses 'a', 'key'"),
        (nothing, (1,), {}, "takes 0 positional arguments, not 1"),
        (wrapped, (1, 2, 3), {}, "takes 2 positional arguments, not 3 — fn(a: int, b: int = 1)"),
        (declared, (), {}, "misses 'a'"),
        (Home.build, (), {}, "misses 'a' — fn(a: int)"),
        (fetch, ("u",), {}, "misses 'tags' — fn(url: str, tags: list[str])"),
    ],
)
def test_a_wrong_call_is_told(
    fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], words: str
) -> None:
    with pytest.raises(BadArguments, match=r"Not enqueued\..*\[E121\]") as caught:
        check_call(fn, args, kwargs, "tasks:mail" if fn is mail else "tasks:fn")
    assert words in str(caught.value).replace("positional-only", "positional only")  # so spelled from Python 3.13 on
    assert isinstance(caught.value, TypeError)
    with pytest.raises(TypeError):  # Python agrees
        fn(*args, **kwargs)


@pytest.mark.parametrize(
    "option", ["delay", "at", "priority", "retry", "timeout", "expires", "tags", "meta", "id", "on_crash"]
)
def test_an_option_among_the_arguments_is_told(option: str) -> None:
    with pytest.raises(BadArguments) as caught:
        check_call(mail, ("a",), {option: "5m"}, "app.tasks:mail")
    assert str(caught.value) == (
        f"'{option}' is not an argument of mail(to: str, *, subject: str = ''); job options go in "
        f".using({option}='5m').enqueue(mail, …). Not enqueued.  [E121]"
    )


def test_an_option_that_is_an_argument_is_an_argument() -> None:
    with pytest.raises(BadArguments, match="misses 'delay'"):
        check_call(later, (), {}, "tasks:later")


def test_a_call_is_shown_as_it_is_written() -> None:
    assert shown(fetch, "tasks:fetch") == "fetch(url: str, tags: list[str])"
    assert shown(max, "builtins:max") == "max(…)"
    assert shown(mail, "billing.mail") == "mail(to: str, *, subject: str = '')"


def _samples() -> list[Callable[..., Any]]:
    class Own: ...

    def bare(a, b=1, *, c, d="x"): ...  # type: ignore[no-untyped-def]
    def typed(a: int, b: str = "é", *, c: Own | None = None) -> int: ...  # type: ignore[empty-body]
    def nothing() -> None: ...
    def only(*, key: "dict[str, Any]" = {}) -> None: ...  # noqa: B006
    def many(a: int, *rest: int, **more: str) -> None: ...
    def place(a: int, /, b: float) -> None: ...

    evaluated: dict[str, Any] = {"Own": Own}
    exec("def f(a: int, b: Own = 3, *, c: bool = True, d): ...", evaluated)
    exec("def g(a: list[int], b: int | None = None, c: None = None): ...", evaluated)
    return [bare, typed, nothing, only, many, place, evaluated["f"], evaluated["g"], functools.wraps(typed)(bare)]


@pytest.mark.parametrize("fn", _samples(), ids=lambda fn: fn.__name__)
def test_the_quick_spelling_is_the_one_of_inspect(fn: Callable[..., Any]) -> None:
    signature = signature_of(fn)
    assert signature is not None
    assert shown(fn, "m:call") == f"call{spelled(signature)}"
