"""Tags with fields that are filled from the call."""

from __future__ import annotations

import pytest

from packhorse._templates import Templates, needed
from packhorse.errors import BadName, BadOption


def send(to: str, pages: int = 1, *rest: str, **more: str) -> None: ...


def test_fields_take_arguments_and_defaults() -> None:
    tags = Templates(["to:{to}", "{pages} of {to}", "plain", "{{to}}"], send, "send")
    assert tags.fill(("ada",), {}) == ("to:ada", "1 of ada", "plain", "{to}")
    assert tags.fill((), {"to": "bob", "pages": 2}) == ("to:bob", "2 of bob", "plain", "{to}")


def test_equal_tags_are_one() -> None:
    assert Templates(["{to}", "ada"], send, "send").fill(("ada",), {}) == ("ada",)


@pytest.mark.parametrize(
    "tag", ["{nobody}", "{to.upper}", "{to[0]}", "{to!r}", "{to:>5}", "{}", "{0}", "{rest}", "{more}"]
)
def test_only_names_of_arguments_are_fields(tag: str) -> None:
    with pytest.raises(BadOption, match="is not an argument"):
        Templates([tag], send, "send")


def test_an_open_brace_is_said() -> None:
    with pytest.raises(BadOption, match="is no template"):
        Templates(["{to"], send, "send")


def test_values_that_cannot_be_tags_are_refused() -> None:
    with pytest.raises(BadName):
        Templates(["{to}"], send, "send").fill(("a\nb",), {})


def test_most_tags_need_no_filling() -> None:
    assert not needed(["a", "b"])
    assert needed(["a", "{b}"])
    assert needed(["}}"])
