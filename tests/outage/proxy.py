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
        self._lose: list[bytes] = []
        self.lost = threading.Event()  #: a reply was lost as ``lose`` asked for
        self.accepted = 0
        self._thread = threading.Thread(target=self._accept, name="proxy", daemon=True)
        self._thread.start()

    # -- faults -------------------------------------------------------------------------------------------------------
    def lose(self, *patterns: bytes) -> None:
        """Lose the reply to the next request that has one of these bytes in it: it reaches the server, and then the
        connection is reset."""
        self.lost.clear()
        with self._lock:
            self._lose = list(patterns)

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
            self._lose = []

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

    def takes(self, request: bytes) -> bool:
        """Tell whether the reply to this request is the one to be lost."""
        with self._lock:
            if not any(pattern in request for pattern in self._lose):
                return False
            self._lose = []
            return True


class _Pair:
    """One connection through the proxy."""

    def __init__(self, proxy: Proxy, client: socket.socket, server: socket.socket) -> None:
        self._proxy = proxy
        self._client, self._server = client, server
        self._replied = 0

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
        if side is self._client:
            self._server.sendall(data)
            return not (proxy.takes(data) and self._swallow())
        return self._reply(data)

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

    def _swallow(self) -> bool:
        """Wait for all of the server's reply, so that what was asked for is done, and keep it."""
        self._server.settimeout(10)
        self._server.recv(_CHUNK)
        self._server.settimeout(0.2)
        with contextlib.suppress(TimeoutError):
            while self._server.recv(_CHUNK):
                pass
        self.reset()
        self._proxy.lost.set()
        return True

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
