"""An outbox in a PostgreSQL database of the application's."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import psycopg

from .._url import mask
from ..errors import BadSchema, PackhorseError, StoreRefused, StoreUnavailable
from .places import GIVEN_UP, TAKEN_OVER, Row

_NOW = "(extract(epoch FROM clock_timestamp()) * 1000000)::bigint"
_MARK = f"""
WITH clock AS MATERIALIZED (SELECT {_NOW} AS now), picked AS MATERIALIZED (
    SELECT o.id FROM packhorse_outbox o, clock
     WHERE o.namespace = %(namespace)s AND o.problem IS NULL
       AND (o.tried_at IS NULL OR o.tried_at < clock.now - %(taken_over)s)
       AND (o.sending_at IS NULL OR o.sending_at > clock.now - %(given_up)s)
     ORDER BY o.n LIMIT %(limit)s FOR UPDATE OF o SKIP LOCKED)
UPDATE packhorse_outbox o SET sending_at = coalesce(o.sending_at, clock.now), tried_at = clock.now
  FROM clock, picked WHERE o.id = picked.id
RETURNING o.n, o.id, o.job, (clock.now - o.made_at) / 1000000.0
"""
_UNMARK = "UPDATE packhorse_outbox SET sending_at = NULL, tried_at = NULL WHERE id = ANY(%s)"
_DELETE = "DELETE FROM packhorse_outbox WHERE id = ANY(%s)"
_REFUSE = "UPDATE packhorse_outbox SET problem = %s WHERE id = %s"
_STUCK = f"""
SELECT count(problem), count(*) FILTER (WHERE problem IS NULL AND sending_at <= {_NOW} - %s)
  FROM packhorse_outbox WHERE namespace = %s AND sending_at IS NOT NULL
"""


class PostgresSide:
    """One connection to the database; each statement is a transaction."""

    def __init__(self, url: str) -> None:
        """Connect."""
        self._shown = mask(url)
        scheme, separator, rest = url.partition("://")
        with self._spoken():
            # Nothing is prepared: there may be a PgBouncer before it.
            self._db = psycopg.connect(
                f"{scheme.partition('+')[0]}{separator}{rest}",
                autocommit=True,
                prepare_threshold=None,
                **_patience(rest),
            )

    def mark(self, namespace: str, limit: int) -> list[Row]:
        """Mark rows as being sent; those that another relay is marking are passed over."""
        times = {"taken_over": round(TAKEN_OVER * 1e6), "given_up": round(GIVEN_UP * 1e6)}
        rows = self._run(_MARK, {"namespace": namespace, "limit": limit, **times})
        return [Row(id, job, float(age)) for _, id, job, age in sorted(rows)]

    def unmark(self, ids: Sequence[str]) -> None:
        """Take the marks back."""
        self._run(_UNMARK, (list(ids),))

    def delete(self, ids: Sequence[str]) -> None:
        """Forget rows."""
        self._run(_DELETE, (list(ids),))

    def refuse(self, id: str, problem: str) -> None:
        """Keep a row that cannot be sent."""
        self._run(_REFUSE, (problem, id))

    def stuck(self, namespace: str) -> tuple[int, int]:
        """Count rows with a problem, and those given up."""
        ((bad, old),) = self._run(_STUCK, (round(GIVEN_UP * 1e6), namespace))
        return bad, old

    def close(self) -> None:
        """Close the connection."""
        self._db.close()

    def _run(self, sql: str, values: Any) -> list[Any]:
        with self._spoken():
            cursor = self._db.execute(sql, values)
            return cursor.fetchall() if cursor.description is not None else []

    @contextmanager
    def _spoken(self) -> Iterator[None]:
        try:
            yield
        except psycopg.Error as error:
            raise self._told(error) from error

    def _told(self, error: psycopg.Error) -> PackhorseError:
        first = str(error).strip().split("\n", 1)[0]
        if isinstance(error, psycopg.errors.UndefinedTable):
            return BadSchema(
                f"the outbox {self._shown} has no table packhorse_outbox.\n"
                "  Make it with the statements that  packhorse db sql --outbox  prints."
            )
        # libpq has no code for what a server said before the connection was there.
        refused = any(
            words in str(error) for words in ("password authentication", "does not exist", "permission denied")
        )
        if refused or (error.sqlstate or "").startswith(("28", "3D", "42")):
            return StoreRefused(f"the outbox {self._shown} refused: {first}")
        return StoreUnavailable(f"the outbox {self._shown} cannot be reached: {first}")


def _patience(rest: str) -> dict[str, Any]:
    """Return limits for what the URL does not limit itself: a dead server is noticed."""
    limits = {"connect_timeout": 5, "keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 3}
    limits["tcp_user_timeout"] = 15_000
    return {name: value for name, value in limits.items() if f"{name}=" not in rest}
