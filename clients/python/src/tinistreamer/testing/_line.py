"""The line between an application under test and its broker, which tests can cut."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress

_CHUNK = 1 << 16


class Line:
    """A proxy before a broker, on the loopback address. It leads nowhere at first."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._port = 0
        self._is_unplugged = False
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        threading.Thread(target=self._accept, name="tinistreamer-line", daemon=True).start()

    @property
    def port(self) -> int:
        """The port that it listens on."""
        port: int = self._listener.getsockname()[1]
        return port

    def lead_to(self, port: int) -> None:
        """Leads all connections from now on to this port."""
        self._port = port

    def cut(self) -> None:
        """Breaks all connections that are open. New ones work."""
        with self._lock:
            for connection in self._open:
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    def unplug(self) -> None:
        """Breaks all connections, and refuses new ones until `plug`."""
        with self._lock:
            self._is_unplugged = True
        self.cut()

    def plug(self) -> None:
        """Connections work again."""
        with self._lock:
            self._is_unplugged = False

    def close(self) -> None:
        """Breaks all connections, and listens no more."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.unplug()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            with self._lock:
                refuses = self._is_unplugged
            if refuses:
                client.close()
                continue
            try:
                broker = socket.create_connection(("127.0.0.1", self._port))
            except OSError:
                client.close()
                continue
            with self._lock:
                self._open |= {client, broker}
                if self._is_unplugged:
                    # It was unplugged meanwhile, and has not seen these two.
                    client.shutdown(socket.SHUT_RDWR)
                    broker.shutdown(socket.SHUT_RDWR)
            both = (threading.Lock(), [2])
            for source, sink in ((client, broker), (broker, client)):
                thread = threading.Thread(
                    target=self._forward, args=(source, sink, both), daemon=True
                )
                thread.start()

    def _forward(
        self, source: socket.socket, sink: socket.socket, both: tuple[threading.Lock, list[int]]
    ) -> None:
        with suppress(OSError):
            while chunk := source.recv(_CHUNK):
                sink.sendall(chunk)
        for connection in (source, sink):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        lock, left = both
        with lock:
            left[0] -= 1
            if left[0] > 0:
                return
        # The other direction has ended too. A socket that is closed earlier could be another one
        # by the time that its thread reads from it.
        with self._lock:
            self._open -= {source, sink}
        source.close()
        sink.close()
