"""A TCP proxy that does to a connection what networks do: delay, reset, a lost reply, silence after accepting, a cut."""

from __future__ import annotations

import contextlib
import selectors
import socket
import struct
import threading
import time
from collections.abc import Iterator

_CHUNK = 65536
_RST = struct.pack("ii", 1, 0)  # close() without lingering sends a reset


class Proxy:
    """Listens on a port of its own and passes everything on to ``target``, but for the fault that is set."""

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.host, self.port = self._listener.getsockname()
        self._lock = threading.Lock()
        self._pairs: list[_Pair] = []
        self._over = False
        #: Seconds that every reply is late.
        self.delay = 0.0
        #: Accept, and pass nothing on: the half-open connection.
        self.hang = False
        #: Reset every new connection at once.
        self.reject = False
        #: Cut each connection after so many bytes of replies.
        self.cut_after: int | None = None
        self._lose: bytes | None = None
        self._then = b""
        self.lost = threading.Event()  #: a reply was lost as ``lose`` asked for
        self.accepted = 0
        self._thread = threading.Thread(target=self._accept, name="proxy", daemon=True)
        self._thread.start()

    # -- faults -------------------------------------------------------------------------------------------------------
    def lose(self, pattern: bytes, then: bytes = b"") -> None:
        """Lose the reply to the next request that has these bytes in it, or to the first with ``then`` that follows it on the
        same connection: it reaches the server, and then the connection is reset."""
        self.lost.clear()
        with self._lock:
            self._lose, self._then = pattern, then

    def retarget(self, host: str, port: int) -> None:
        """Lead to another server from now on, as a name or an address that moves does."""
        self._target = (host, port)
        self.reset()

    def reset(self) -> None:
        """Reset every connection there is."""
        with self._lock:
            pairs, self._pairs = self._pairs, []
        for pair in pairs:
            pair.reset()

    def heal(self) -> None:
        """Pass everything on again."""
        self.delay, self.hang, self.reject, self.cut_after = 0.0, False, False, None
        with self._lock:
            self._lose = None

    def close(self) -> None:
        """End it."""
        self._over = True
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.reset()
        self._thread.join(5)

    # -- passing on ---------------------------------------------------------------------------------------------------
    def _accept(self) -> None:
        while not self._over:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self.accepted += 1
            if self.reject:
                _reset(client)
                continue
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        try:
            server = socket.create_connection(self._target, 5)
        except OSError:
            _reset(client)
            return
        pair = _Pair(self, client, server)
        with self._lock:
            self._pairs.append(pair)
        pair.pump()
        with self._lock:
            if pair in self._pairs:
                self._pairs.remove(pair)

    def takes(self, request: bytes) -> bytes | None:
        """Return what else is waited for before the reply is lost, if this is the request that was meant; else None."""
        with self._lock:
            if self._lose is None or self._lose not in request:
                return None
            self._lose = None
            return b"" if self._then in request else self._then


class _Pair:
    """One connection through the proxy."""

    def __init__(self, proxy: Proxy, client: socket.socket, server: socket.socket) -> None:
        self._proxy = proxy
        self._client, self._server = client, server
        self._replied = 0
        self._awaited: bytes | None = None  #: the reply to the next request with these bytes is lost

    def pump(self) -> None:
        """Pass on until one side ends."""
        with contextlib.suppress(OSError, ValueError), selectors.DefaultSelector() as selector:
            for side in (self._client, self._server):
                selector.register(side, selectors.EVENT_READ)
            while all(self._pass_on(side) for side in _ready(selector)):
                pass
        for side in (self._client, self._server):
            with contextlib.suppress(OSError):
                side.close()

    def _pass_on(self, side: socket.socket) -> bool:
        proxy = self._proxy
        while proxy.hang:
            time.sleep(0.01)
            if side.fileno() < 0:
                return False
        data = side.recv(_CHUNK)
        if not data:
            return False
        if side is not self._client:
            return self._reply(data)
        self._server.sendall(data)
        if self._awaited is None:
            self._awaited = proxy.takes(data)
        if self._awaited is not None and self._awaited in data:
            self._swallow()
            return False
        return True

    def _reply(self, data: bytes) -> bool:
        proxy = self._proxy
        if proxy.delay:
            time.sleep(proxy.delay)
        left = None if proxy.cut_after is None else proxy.cut_after - self._replied
        if left is not None and left < len(data):
            self._client.sendall(data[: max(0, left)])
            self.reset()
            return False
        self._replied += len(data)
        self._client.sendall(data)
        return True

    def _swallow(self) -> None:
        """Wait for all of the server's reply, so that what was asked for is done, and keep it."""
        with selectors.DefaultSelector() as selector:
            for side in (self._client, self._server):
                selector.register(side, selectors.EVENT_READ)
            answered = False
            while ready := selector.select(0.2 if answered else 10):
                for key, _ in ready:
                    data = key.fileobj.recv(_CHUNK)  # type: ignore[union-attr]
                    if key.fileobj is self._client:
                        self._server.sendall(data)  # the rest of what was asked
                    else:
                        answered = True
        self.reset()
        self._proxy.lost.set()

    def reset(self) -> None:
        for side in (self._client, self._server):
            _reset(side)


def _ready(selector: selectors.BaseSelector) -> Iterator[socket.socket]:
    while True:
        for key, _ in selector.select(0.5):
            yield key.fileobj  # type: ignore[misc]


def _reset(side: socket.socket) -> None:
    with contextlib.suppress(OSError):
        side.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RST)
    with contextlib.suppress(OSError):
        side.close()
