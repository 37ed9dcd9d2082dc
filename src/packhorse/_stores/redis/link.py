"""One network connection to the right server: opened, checked, and asked."""

from __future__ import annotations

import importlib
import socket
from collections.abc import Iterator, Sequence
from typing import Any

from redis.backoff import NoBackoff
from redis.connection import Connection as Wire
from redis.connection import SSLConnection, UnixDomainSocketConnection
from redis.crc import key_slot
from redis.exceptions import NoScriptError, RedisError, ResponseError
from redis.retry import Retry

from ...errors import BadStore, StoreUnavailable
from ..passwords import password_of
from . import server as servers
from .address import Address
from .failures import code_of
from .scripts import sha_of, source_of

_KEEPALIVE = {
    getattr(socket, name): value
    for name, value in (("TCP_KEEPIDLE", 10), ("TCP_KEEPINTVL", 5), ("TCP_KEEPCNT", 3), ("TCP_USER_TIMEOUT", 15_000))
    if hasattr(socket, name)
}
try:
    _pack_command: Any = importlib.import_module("hiredis").pack_command
except ImportError:
    _pack_command = None
Place = tuple[str, int]
_PLAIN: Any = Wire
_SOCKET: Any = UnixDomainSocketConnection


def _pack(wire: Any, words: tuple[str | bytes | int, ...]) -> Any:
    """Return a command as it is sent. The library would look at each word in Python first."""
    return wire.pack_command(*words) if _pack_command is None else (_pack_command(words),)


class Link:
    """An open connection. Errors are the library's; whoever gets one decides what it means."""

    def __init__(self, wire: Any, patience: float) -> None:
        self.wire = wire
        self._patience = patience
        self.server: servers.Server
        self.has_run: set[str] = set()  #: verbs whose scripts the server has

    def ask(self, *words: str | bytes | int, patience: float | None = None) -> Any:
        """Send one command and return the answer; the library's exception for an error."""
        wire = self.wire
        if patience is not None and patience != self._patience:
            wire._sock.settimeout(patience)
            self._patience = patience
        wire.send_packed_command(_pack(wire, words), check_health=False)
        return wire.read_response()

    def run(self, verb: str, key: str, arguments: Sequence[str | bytes | int], patience: float) -> Any:
        """Run a verb's script. A server that has lost it is given it anew."""
        try:
            answer = self.ask("EVALSHA", sha_of(verb), 1, key, *arguments, patience=patience)
        except NoScriptError:
            answer = self.ask("EVAL", source_of(verb), 1, key, *arguments, patience=patience)
        self.has_run.add(verb)
        return answer

    def run_all(self, key: str, calls: Sequence[tuple[str, Sequence[str | bytes | int]]], patience: float) -> list[Any]:
        """Run the scripts of verbs, sent together, and return their answers; the library's exception for the first error. What a
        server that has lost a script could not do is done at last."""
        wire = self.wire
        if patience != self._patience:
            wire._sock.settimeout(patience)
            self._patience = patience
        packed = [_pack(wire, ("EVALSHA", sha_of(verb), 1, key, *words)) for verb, words in calls]
        wire.send_packed_command([part for parts in packed for part in parts], check_health=False)
        answers = [self._answer_or_error() for _ in calls]
        for place, (verb, words) in enumerate(calls):
            if isinstance(answers[place], NoScriptError):
                answers[place] = self.run(verb, key, words, patience)
            elif isinstance(answers[place], ResponseError):
                raise answers[place]
        return answers

    def _answer_or_error(self) -> Any:
        try:
            return self.wire.read_response()
        except ResponseError as error:
            return error  # the others' answers are still to be read

    def descriptor(self) -> int:
        """Return the number under which the kernel knows the connection."""
        number: int = self.wire._sock.fileno()
        return number

    def has_answer(self) -> bool:
        """Tell whether there is something to read: an answer, or that the server has hung up."""
        try:
            return bool(self.wire.can_read(0))
        except (RedisError, OSError):
            return True

    def wait_for(self, patience: float) -> None:
        """Give the server so many seconds for each answer from now on."""
        self._patience = self.wire.socket_timeout = patience
        self.wire._sock.settimeout(patience)

    is_stale = has_answer  #: between two commands nothing should be there

    def close(self) -> None:
        """Hang up."""
        self.wire.disconnect()


def connect(address: Address, key: str, patience: float, *, first: bool) -> Link:
    """Connect to the server that has the namespace: the host itself, the sentinels' master, or the cluster's node.

    Raises what the library raises, and ``BadStore`` for a server that must not be used.
    """
    trouble: Exception | None = None
    for place in _places(address, key, patience):
        try:
            return _checked(address, place, patience, first)
        except (RedisError, OSError, StoreUnavailable) as error:
            trouble = error
    raise trouble or StoreUnavailable(f"cannot reach the job store {address.shown}: there is nowhere to connect to.")


def _places(address: Address, key: str, patience: float) -> Iterator[Place | None]:
    if address.sentinel is not None:
        yield _master(address, address.sentinel, patience)
    elif address.cluster:
        yield _node(address, key, patience)
    elif address.socket is not None:
        yield None
    else:
        yield from address.hosts


def _open(address: Address, place: Place | None, patience: float, *, sentinel: bool = False) -> Link:
    options = address.url.options
    user, password, db = address.url.user, password_of(address.url), address.db
    if sentinel:
        user, password, db = options.get("sentinel_username"), options.get("sentinel_password"), 0
    wire: Any
    common: dict[str, Any] = {
        "db": db,
        "username": user if password is not None else None,
        "password": password,
        "socket_timeout": patience,
        "decode_responses": True,
        "protocol": 2,
        "retry": Retry(NoBackoff(), 0),
    }
    if place is None:
        wire = _SOCKET(path=address.socket or "", **common)
    else:
        common.update(
            host=place[0],
            port=place[1],
            socket_connect_timeout=address.connect_timeout,
            socket_keepalive=True,
            socket_keepalive_options=_KEEPALIVE,
        )
        wire = _PLAIN(**common) if address.tls is None else SSLConnection(**common, **address.tls)
    for name in ("driver_info", "lib_name", "lib_version"):
        if hasattr(wire, name):  # the library would tell the server its own name, by commands that an ACL may not allow
            setattr(wire, name, None)
    wire.connect()
    return Link(wire, patience)


def _checked(address: Address, place: Place | None, patience: float, first: bool) -> Link:
    # Until the server is known to answer, it has no longer than the way to it.
    link = _open(address, place, min(patience, address.connect_timeout))
    try:
        link.server = _look(link, address)
        servers.refuse_unfit(
            link.server,
            address.shown,
            cluster=address.cluster,
            fsync=address.fsync,
            first=first and not address.sentinel,
        )
    except BaseException:
        link.close()
        raise
    return link


def _look(link: Link, address: Address) -> servers.Server:
    info = link.ask("INFO")
    if not isinstance(info, str) or "_version:" not in info:
        raise BadStore(f"{address.shown} is no Redis or Valkey server. Nothing was opened.")
    config: dict[str, str] = {}
    for name in ("maxmemory", "maxmemory-policy", "appendfsync", "save"):
        try:
            answer = link.ask("CONFIG", "GET", name)
        except ResponseError as error:
            if code_of(error) == "LOADING":
                raise
            break  # denied, or renamed: INFO has to do
        config.update(zip(answer[::2], answer[1::2], strict=True))
    return servers.read(info, config)


def _master(address: Address, service: str, patience: float) -> Place:
    """Ask the sentinels, one after the other, who is the master."""
    said = []
    for place in address.hosts:
        try:
            link = _open(address, place, min(patience, address.connect_timeout), sentinel=True)
            try:
                answer = link.ask("SENTINEL", "GET-MASTER-ADDR-BY-NAME", service)
            finally:
                link.close()
        except (RedisError, OSError) as error:
            said.append(f"{place[0]}:{place[1]}: {error}")
            continue
        if answer:
            return str(answer[0]), int(answer[1])
        said.append(f"{place[0]}:{place[1]} knows no master of {service!r}")
    raise StoreUnavailable(
        f"cannot reach the job store {address.shown}: no sentinel named its master ({'; '.join(said)}). Nothing was stored."
    )


def _node(address: Address, key: str, patience: float) -> Place:
    """Ask the nodes of the cluster, one after the other, which of them has the namespace."""
    slot = key_slot(key.encode())
    trouble: Exception | None = None
    for place in _known_nodes(address):
        try:
            link = _open(address, place, patience)
            try:
                ranges = link.ask("CLUSTER", "SLOTS")
            finally:
                link.close()
        except ResponseError as error:
            if "cluster support disabled" in str(error):
                raise BadStore(
                    f"{address.shown} is no cluster; nothing was opened. Leave ?cluster=1 out of the URL."
                ) from error
            trouble = error
            continue
        except (RedisError, OSError) as error:
            trouble = error
            continue
        nodes = _remember(address, ranges)
        for low, high, node in nodes:
            if low <= slot <= high:
                return node[0] or place[0], node[1]
        trouble = StoreUnavailable(
            f"{address.shown}: no node of the cluster has the slot {slot}, to which the namespace belongs. Nothing was stored."
        )
    raise trouble or StoreUnavailable(f"{address.shown}: there is no node to ask.")


#: By URL: the nodes seen last, for the day when those that the URL names are gone.
_NODES: dict[str, list[Place]] = {}


def _known_nodes(address: Address) -> list[Place]:
    return list(dict.fromkeys([*address.hosts, *_NODES.get(address.shown, [])]))


def _remember(address: Address, ranges: Any) -> list[tuple[int, int, Place]]:
    nodes = [(int(one[0]), int(one[1]), (str(one[2][0] or ""), int(one[2][1]))) for one in ranges]
    _NODES[address.shown] = [node for _, _, node in nodes if node[0]]
    return nodes
