"""The page on states says what the code says."""

from __future__ import annotations

import re
from typing import get_args

from packhorse._record import FINAL, STATES, TRANSITIONS, OutcomeKind
from tests.docs import transitions


def page() -> str:
    return transitions.PAGE.read_text(encoding="utf-8")


def rows_under(title: str) -> list[str]:
    """Return the first cells of the table below a heading."""
    section = page().partition(f"\n## {title}\n")[2].partition("\n## ")[0]
    return re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE)


def test_the_table_is_the_one_that_decides() -> None:
    assert page() == transitions.written(page()), "run: python -m tests.docs.transitions"


def test_the_table_has_every_move_and_no_other() -> None:
    names = {transitions.NEW: None} | {f"**{state}**" if state in FINAL else state: state for state in STATES}
    verbs = {words: verb for verb, words in transitions.VERBS.items()}
    told = set()
    for line in transitions.parts(page())[1].splitlines()[3:]:
        if line:
            before, by, after = (cell.strip() for cell in line.strip("|").split("|"))
            told |= {(names[before], verbs[by], names[each]) for each in after.split(", ")}
    assert told == TRANSITIONS


def test_every_state_is_explained() -> None:
    assert tuple(rows_under("The eight states")) == STATES


def test_every_outcome_is_explained() -> None:
    assert tuple(rows_under("Outcomes of attempts")) == get_args(OutcomeKind)


def test_the_diagram_shows_every_state() -> None:
    diagram = page().partition("```text")[2].partition("```")[0]
    assert [state for state in STATES if state not in diagram] == []
