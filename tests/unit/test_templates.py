"""Tags with fields that are filled from the call."""

from __future__ import annotations

import inspect

import pytest

from packhorse._options import Options
from packhorse._reference import Reference
from packhorse._templates import Templates, needed, templates_of
from packhorse.errors import BadName, BadOption


def send(to: str, pages: int = 1, *rest: str, **more: str) -> None: ...


SEND = inspect.signature(send)


def test_fields_take_arguments_and_defaults() -> None:
    tags = Templates({"tags": ["to:{to}", "{pages} of {to}", "plain", "{{to}}"]}, SEND, "send")
    assert tags.fill(["tags"], ("ada",), {}) == {"tags": ("to:ada", "1 of ada", "plain", "{to}")}
    assert tags.fill(["tags"], (), {"to": "bob", "pages": 2}) == {"tags": ("to:bob", "2 of bob", "plain", "{to}")}


def test_equal_tags_are_one() -> None:
    assert Templates({"tags": ["{to}", "ada"]}, SEND, "send").fill(["tags"], ("ada",), {}) == {"tags": ("ada",)}


@pytest.mark.parametrize(
    "tag", ["{nobody}", "{to.upper}", "{to[0]}", "{to!r}", "{to:>5}", "{}", "{0}", "{rest}", "{more}"]
)
def test_only_names_of_arguments_are_fields(tag: str) -> None:
    with pytest.raises(BadOption, match="is not an argument"):
        Templates({"tags": [tag]}, SEND, "send")


def test_an_open_brace_is_said() -> None:
    with pytest.raises(BadOption, match="is no template"):
        Templates({"unique": ["{to"]}, SEND, "send")


def test_values_that_cannot_be_tags_are_refused() -> None:
    with pytest.raises(BadName):
        Templates({"tags": ["{to}"]}, SEND, "send").fill(["tags"], ("a\nb",), {})


def test_most_tags_need_no_filling() -> None:
    assert not needed(["a", "b"])
    assert needed(["a", "{b}"])
    assert needed(["}}"])


def test_only_the_options_with_fields_are_taken_apart() -> None:
    options = Options(tags=("a",), reserves=("box:{to}", "{pages}"), limit=("smtp",), unique="{to}")
    found = templates_of(options, lambda: SEND, "send")
    assert found is not None
    assert found.among(["tags", "reserves", "shares", "limit", "unique"]) == ("reserves", "unique")
    assert found.fill(["reserves", "unique"], ("ada",), {}) == {"reserves": ("box:ada", "1"), "unique": ("ada",)}
    assert templates_of(Options(tags=("a",), unique=True), lambda: SEND, "send") is None


def test_a_result_that_is_not_known_yet_fills_no_field() -> None:
    with pytest.raises(BadOption, match="reserves has the field {to}.*not known yet"):
        Templates({"reserves": ["box:{to}"]}, SEND, "send").fill(["reserves"], (Reference("x"),), {})
