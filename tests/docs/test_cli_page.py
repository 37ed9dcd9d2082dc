"""The page on the command line has every command and every option of the program, and no other."""

from __future__ import annotations

import re
from collections.abc import Iterator

import click
import pytest

from packhorse.cli._group import group
from tests.docs.pages import ROOT

PAGE = (ROOT / "docs" / "reference" / "cli.md").read_text(encoding="utf-8")


def commands(command: click.Command, name: str = "") -> Iterator[tuple[str, click.Command]]:
    """Return every command below one, with its whole name."""
    if not isinstance(command, click.Group):
        yield name, command
        return
    ctx = click.Context(command)
    for each in command.list_commands(ctx):
        child = command.get_command(ctx, each)
        assert child is not None
        yield from commands(child, f"{name} {each}".strip())


ALL = dict(commands(group))


@pytest.mark.parametrize("name", list(ALL))
def test_the_page_has_the_command_and_its_options(name: str) -> None:
    assert re.search(rf"(`|^## |packhorse ){name}\b", PAGE, re.MULTILINE), name
    options = [max(each.opts, key=len) for each in ALL[name].params if isinstance(each, click.Option)]
    assert [text for text in options if not re.search(rf"(?<![\w-]){text}(?![\w-])", PAGE)] == []


def test_the_page_has_no_option_that_is_not_there() -> None:
    known = {text for command in (group, *ALL.values()) for each in command.params for text in each.opts}
    assert set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", PAGE)) - known - {"--help"} == set()
