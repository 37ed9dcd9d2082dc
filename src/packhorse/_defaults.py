"""An App's default options as plain data, for the processes that cannot import the App: it was made in a script."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from ._backoff import Backoff
from ._options import Options, check

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def plain_defaults(options: Options) -> dict[str, Any]:
    """Return checked options as JSON data, under the names users give them; a Backoff loses its exception classes."""
    given = options.given()
    if "retry" in given:
        given["retry"] = given["retry"].data()
    if "crash_fails" in given:
        given["on_crash"] = "fail" if given.pop("crash_fails") else "retry"
    if "after_failed" in given:
        given["after_failure"] = "run" if given.pop("after_failed") else "cancel"
    for name in ("tags", "reserves", "shares", "limit"):
        if name in given:
            given[name] = list(given[name])
    if "meta" in given:
        given["meta"] = json.loads(given["meta"])
    if "expires_at" in given:
        given["expires_at"] = (_EPOCH + timedelta(microseconds=given["expires_at"])).isoformat()
    return given


def given_defaults(plain: Mapping[str, Any]) -> dict[str, Any]:
    """Return plain data as the keywords that ``App`` takes."""
    given = dict(plain)
    if "retry" in given:
        given["retry"] = Backoff.of(given["retry"])
    if "expires_at" in given:
        given["expires"] = datetime.fromisoformat(given.pop("expires_at"))
    return given


def restored_defaults(plain: Mapping[str, Any]) -> Options:
    """Return plain data as checked options again."""
    return check(given_defaults(plain), "App", "App")
