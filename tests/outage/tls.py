"""A front that speaks TLS for a server that cannot: the servers of the wheels are built without it."""

from __future__ import annotations

import contextlib
import selectors
import socket
import ssl
import threading

from tests.outage.certificates import Certificate

#: What a PostgreSQL client sends first if it wants TLS: a length, and a number that no version has.
_SSL_REQUEST = b"\x00\x00\x00\x08\x04\xd2\x16\x2f"


class Front:
    """Takes TLS connections and passes what is in them on to a server that stands behind."""

    def __init__(self, certificate: Certificate, host: str, port: int, *, postgres: bool) -> None:
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(certificate.cert, certificate.key)
        self._target, self._postgres = (host, port), postgres
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, name="front", daemon=True).start()

    def close(self) -> None:
        """End it."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, plain: socket.socket) -> None:
        with contextlib.suppress(OSError, ValueError), plain:
            if self._postgres:
                if plain.recv(8) != _SSL_REQUEST:
                    return
                plain.sendall(b"S")
            with self._context.wrap_socket(plain, server_side=True) as client:
                _pump(client, socket.create_connection(self._target, 5))


def _pump(client: ssl.SSLSocket, server: socket.socket) -> None:
    with server, selectors.DefaultSelector() as selector:
        for side in (client, server):
            selector.register(side, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                here = key.fileobj
                assert isinstance(here, socket.socket)
                data = here.recv(65536)
                while here is client and client.pending():
                    data += client.recv(client.pending())
                if not data:
                    return
                (server if here is client else client).sendall(data)
