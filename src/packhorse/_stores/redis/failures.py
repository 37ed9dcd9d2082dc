"""What the server's errors, and those of the way to it, mean to the caller of a store."""

from __future__ import annotations

import ssl

from redis.exceptions import (
    AuthenticationError,
    AuthorizationError,
    ConnectionError,
    InvalidResponse,
    NoPermissionError,
    RedisError,
    ResponseError,
    TimeoutError,
)

from ...errors import BadStore, PackhorseError, StoreFull, StoreRefused, StoreUnavailable

#: Answers of a server that is not ready, or no longer the right one: the same call may succeed later, perhaps elsewhere.
_PASSING = (
    "LOADING", "READONLY", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN", "BUSY", "MOVED", "ASK", "UNBLOCKED", "NOREPLICAS",
    "MISCONF", "FAILOVER",
)  # fmt: skip
_REFUSALS = ("WRONGPASS", "NOAUTH", "NOPERM", "DENIED")
_WHAT = {
    "LOADING": "it is still loading its data",
    "READONLY": "it has become a replica",
    "MASTERDOWN": "it has lost its master",
    "CLUSTERDOWN": "its cluster is down",
    "TRYAGAIN": "its cluster is moving this slot",
    "BUSY": "a script of somebody keeps it busy",
    "MOVED": "the slot is at another node",
    "ASK": "the slot is moving to another node",
    "MISCONF": "it cannot save its data to its disk, and takes no changes",
}


#: Errors of which the library takes the first word for itself.
_BY_CLASS = {
    "BusyLoadingError": "LOADING",
    "ReadOnlyError": "READONLY",
    "MasterDownError": "MASTERDOWN",
    "ClusterDownError": "CLUSTERDOWN",
    "TryAgainError": "TRYAGAIN",
    "MovedError": "MOVED",
    "AskError": "ASK",
    "OutOfMemoryError": "OOM",
    "NoPermissionError": "NOPERM",
    "NoScriptError": "NOSCRIPT",
}


def code_of(error: BaseException) -> str:
    """Return the first word of a server's answer; an error in a script has its own word further in."""
    known = _BY_CLASS.get(type(error).__name__)
    if known is not None:
        return known
    text = str(error)
    for code in (*_PASSING, *_REFUSALS, "OOM", "NOSCRIPT", "GONE"):
        if text.startswith(code) or f"-{code} " in text:
            return code
    if "OOM command not allowed" in text:
        return "OOM"
    if "can't run this command" in text or "has no permissions" in text:
        return "NOPERM"
    return ""


def is_answer(error: BaseException) -> bool:
    """Tell whether the server answered in order: the connection can be used further."""
    if isinstance(error, (ConnectionError, TimeoutError, OSError)) or not isinstance(error, ResponseError):
        return False
    return code_of(error) not in _PASSING


def translated(error: BaseException, shown: str) -> PackhorseError:
    """Return the error of the tree that tells the caller what happened and what to do."""
    if isinstance(error, PackhorseError):  # StoreUnavailable is a ConnectionError, and so an OSError
        return error
    code = code_of(error)
    if code == "OOM":
        return StoreFull(
            f"{shown}: the server's memory is full (maxmemory); nothing was stored. Workers go on and make room. "
            "Give it more memory, or shorten what is kept of ended jobs."
        )
    if code == "NOPERM" or isinstance(error, NoPermissionError):
        return _not_allowed(error, shown)
    if code in _REFUSALS or isinstance(error, (AuthenticationError, AuthorizationError)):
        return StoreRefused(
            f"{shown}: the server refused the user or the password ({_words(error)}); nothing was opened. "
            "The password may stand in the URL, in the file of ?password_file=, or in PACKHORSE_PASSWORD."
        )
    if code in _PASSING:
        return StoreUnavailable(
            f"{shown}: the server cannot be used at present: {_WHAT.get(code, _words(error))}. Nothing was stored."
        )
    return _of_the_way(error, shown)


def _of_the_way(error: BaseException, shown: str) -> PackhorseError:
    cause = _cause(error)
    if isinstance(cause, ssl.SSLError):
        return _tls(cause, shown)
    if isinstance(error, InvalidResponse):
        return BadStore(f"{shown}: no Redis answers there ({_words(error)}); nothing was opened. Is it the right port?")
    if isinstance(error, (ConnectionError, TimeoutError, OSError)):
        return StoreUnavailable(f"cannot reach the job store {shown}: {_reason(cause)}. Nothing was stored.")
    return BadStore(f"{shown} answered what was not understood: {_words(error)}. Nothing was stored.")


def _tls(error: ssl.SSLError, shown: str) -> PackhorseError:
    if isinstance(error, ssl.SSLCertVerificationError):
        return StoreRefused(
            f"{shown}: the server's certificate was not accepted: {error.verify_message or error}; nothing was opened. "
            "ssl_ca_certs=FILE in the URL names the CA that signed it; the host in the URL must be one that it names."
        )
    if isinstance(error, (ssl.SSLEOFError, ssl.SSLZeroReturnError)):
        return StoreUnavailable(f"cannot reach the job store {shown}: the TLS connection was cut. Nothing was stored.")
    return StoreRefused(
        f"{shown}: TLS failed: {error.reason or error}; nothing was opened. Is there TLS on this port, and does the server ask "
        "for a client certificate (ssl_certfile=, ssl_keyfile=)?"
    )


def _not_allowed(error: BaseException, shown: str) -> StoreRefused:
    return StoreRefused(
        f"{shown}: the server's ACL does not let this user do what is needed: {_words(error)}. Nothing was stored. "
        "docs/guides/redis.md has the line that makes such a user."
    )


def _cause(error: BaseException) -> BaseException:
    """Return what stands behind an error of the library's."""
    found: BaseException | None = error
    while found is not None and not isinstance(found, PackhorseError):  # that is of a try before this one
        if isinstance(found, OSError) and not isinstance(found, RedisError):
            return found
        found = found.__cause__ or found.__context__
    return error


def _reason(error: BaseException) -> str:
    if "timed out" in str(error).lower() or "Timeout" in str(error):
        return "no answer in time"
    if isinstance(error, ConnectionRefusedError) or "Connection refused" in str(error):
        return "connection refused"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return _words(error)


def _words(error: BaseException) -> str:
    return str(error).strip().rstrip(".") or type(error).__name__
