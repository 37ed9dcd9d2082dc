"""What kind of server this is, and what it promises."""

from __future__ import annotations

from ...errors import BadStore, StoreUnavailable
from .link import Link

OLDEST = 140_000
#: How our statements are planned. They are short, and never worth compiling. What the server reckons of a queue is often
#: wrong: it was empty when it was looked at last, and holds a million jobs now. Then a bitmap scan, which has no order, looks
#: good, and each claim would sort all jobs of its line; and so does reading a whole table, where a plan was made, and kept,
#: while there were few rows. Each statement has an index for what it looks for.
_PLANS = {"jit": "off", "enable_bitmapscan": "off", "enable_seqscan": "off"}
#: Of a session of our own. A statement ends after 15 s though its client has gone.
OPTIONS = " ".join(
    [
        "-c statement_timeout=15s -c idle_in_transaction_session_timeout=60s",
        "-c default_transaction_isolation=read\\ committed",
        *(f"-c {name}={value}" for name, value in _PLANS.items()),
    ]
)

_ASK = b"""
SELECT pg_is_in_recovery(), current_setting('transaction_read_only'), current_setting('server_version_num')::bigint,
       current_setting('server_version'), current_setting('server_encoding'), current_setting('fsync'),
       current_setting('synchronous_commit'), current_setting('full_page_writes')
"""


def inspect(link: Link, shown: str) -> str:
    """Refuse a server that cannot hold jobs; return what it does not promise."""
    ((standby, read_only, number, version, encoding, *durability),) = link.ask(_ASK).fetchall()
    if number < OLDEST:
        raise BadStore(
            f"{shown}: PostgreSQL {version} is too old; nothing was opened. Packhorse needs PostgreSQL 14 or newer."
        )
    if standby:
        raise BadStore(
            f"{shown}: this server is a standby, which takes no changes; nothing was opened. Name the primary, or all servers "
            "with target_session_attrs=read-write."
        )
    if read_only == "on":
        raise StoreUnavailable(
            f"{shown}: the server lets this session change nothing (transaction_read_only is on); nothing was opened. "
            "Look at default_transaction_read_only of the server, the database and the role."
        )
    if encoding not in ("UTF8", "SQL_ASCII"):
        raise BadStore(f"{shown}: the database has the encoding {encoding}; nothing was opened. Make one with UTF8.")
    return _promise(*durability)


def _promise(fsync: str, synchronous_commit: str, full_page_writes: str) -> str:
    if fsync == "off":
        return "the server runs with fsync = off: after a power failure the jobs may be gone, or the whole database damaged"
    if full_page_writes == "off":
        return "the server runs with full_page_writes = off: a power failure may damage the database"
    if synchronous_commit == "off":
        return "the server runs with synchronous_commit = off: a crash loses what was acknowledged in its last moments"
    return ""


def begin_in_any(patience: float) -> tuple[bytes, bytes]:
    """Return the statements that begin a transaction in a session that is not ours, with the settings of ours."""
    ours = {"statement_timeout": str(int(patience * 1000)), **_PLANS}
    settings = ", ".join(f"set_config('{name}', '{value}', true)" for name, value in ours.items())
    return b"BEGIN ISOLATION LEVEL READ COMMITTED", f"SELECT {settings}".encode()
