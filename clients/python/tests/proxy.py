"""A TCP proxy that breaks connections when a test asks for it."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress


class Proxy:
    """Forwards connections to a local port."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.connections = 0
        self.response_chunks = 0
        """The number of chunks forwarded to clients."""
        self.cut_responses = 0
        """The number of responses that the proxy will cut off before their first byte."""
        self.stalls = False
        """Whether the proxy forwards nothing to clients and closes nothing."""
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """Breaks all connections."""
        with self._lock:
            for connection in self._open:
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Stops, and breaks all connections."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()

    @property
    def open_connections(self) -> int:
        """The number of open connections from clients."""
        with self._lock:
            return len(self._open) // 2

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            server = socket.create_connection(("127.0.0.1", self._port))
            with self._lock:
                self._open |= {client, server}
            for source, sink, is_response in ((client, server, False), (server, client, True)):
                threading.Thread(
                    target=self._forward, args=(source, sink, is_response), daemon=True
                ).start()

    def _forward(self, source: socket.socket, sink: socket.socket, is_response: bool) -> None:
        with suppress(OSError):
            while chunk := source.recv(65536):
                if is_response and self.cut_responses:
                    self.cut_responses -= 1
                    break
                if not (is_response and self.stalls):
                    sink.sendall(chunk)
                    self.response_chunks += is_response
        for end in (source, sink):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        with self._lock:
            if {source, sink} <= self._open:
                self._open -= {source, sink}
                source.close()
                sink.close()
