"""The table of docs/reference/states.md, made from the one table that decides.

``python -m tests.docs.transitions`` writes it into the page; a test holds the two equal.
"""

from __future__ import annotations

from packhorse._record import FINAL, STATES, TRANSITIONS, State
from tests.docs.pages import ROOT

PAGE = ROOT / "docs" / "reference" / "states.md"
BEGIN, END = "<!-- transitions: begin -->\n", "<!-- transitions: end -->\n"

#: Whose work each verb is, in words. A verb that is not here is a mistake of this page.
VERBS = {
    "enqueue": "`enqueue`, of itself or of one that replaces it",
    "fire": "a schedule is due",
    "promote": "its time has come",
    "admit": "what it waits for: out of the way, or failed",
    "resolve": "a worker knows the task",
    "claim": "a worker takes it",
    "settle": "the verdict on its run",
    "beat": "put back: claimed, but never received",
    "edit": "somebody changes it: puts it off, or lets it run now or elsewhere",
    "cancel": "somebody cancels it",
    "expire": "`expires` has passed",
    "requeue": "somebody requeues it",
}
NEW = "(new)"


def table() -> str:
    """Return one row per state and verb: from, who moves it, where to."""
    rows = [f"| {_said(before)} | {VERBS[verb]} | {_targets(before, verb)} |" for before, verb in _moves()]
    return "\n".join(["| from | by | to |", "|---|---|---|", *rows]) + "\n"


def _moves() -> list[tuple[State | None, str]]:
    """Return every (state, verb) that moves a job, in the order of a job's life."""
    states: tuple[State | None, ...] = (None, *STATES)
    verbs = tuple(VERBS)
    pairs = {(before, verb) for before, verb, _ in TRANSITIONS}
    return sorted(pairs, key=lambda pair: (states.index(pair[0]), verbs.index(pair[1])))


def _targets(before: State | None, verb: str) -> str:
    found = {after for start, by, after in TRANSITIONS if (start, by) == (before, verb)}
    return ", ".join(_said(state) for state in STATES if state in found)


def _said(state: State | None) -> str:
    if state is None:
        return NEW
    return f"**{state}**" if state in FINAL else state


def parts(text: str) -> tuple[str, str, str]:
    """Return what stands before the table in a page, the table, and what stands after it."""
    head, _, rest = text.partition(BEGIN)
    inside, _, tail = rest.partition(END)
    return head, inside, tail


def written(text: str) -> str:
    """Return the page with the table as it should be."""
    head, _, tail = parts(text)
    return f"{head}{BEGIN}\n{table()}\n{END}{tail}"


if __name__ == "__main__":
    PAGE.write_text(written(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
