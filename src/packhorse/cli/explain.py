"""``packhorse explain``."""

from __future__ import annotations

import difflib

import click

from .. import _explain
from . import _show
from ._session import Session, json_option, with_session


@click.command("explain")
@click.argument("code", required=False)
@json_option
@with_session
def explain(session: Session, code: str | None, as_json: bool) -> None:
    """Say what error CODE means, what usually causes it and what to do.

    Without CODE: the list of all codes.
    """
    if code is None:
        _list(as_json)
        return
    wanted = code.strip("[]").upper()
    if wanted not in _explain.codes():
        raise click.UsageError(_unknown(code))
    text = _explain.text(wanted)
    if as_json:
        _show.document({"code": wanted, "title": _explain.title(wanted), "text": text})
        return
    _show.echo(text.rstrip("\n"))


def _list(as_json: bool) -> None:
    if as_json:
        _show.document({"codes": [{"code": code, "title": _explain.title(code)} for code in _explain.codes()]})
        return
    _show.table(["code", "about"], [[code, _explain.title(code)] for code in _explain.codes()])


def _unknown(code: str) -> str:
    close = difflib.get_close_matches(code.upper(), _explain.codes(), 1)
    hint = f"did you mean {close[0]}?" if close else "packhorse explain  lists them all."
    return f"there is no error code '{_show.clean(code)}'; {hint}"
