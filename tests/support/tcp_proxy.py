"""A TCP proxy for tests that misbehaves on demand: slow, cut, swallowing or refusing.

with TCPProxy(("127.0.0.1", server.port)) as proxy:
    reader = SessionReader(f"redis://127.0.0.1:{proxy.port}")
    proxy.black_hole()  # what is sent from now on arrives nowhere, connections stay open
    proxy.pass_through()
"""

import contextlib
import socket
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Self

Target = tuple[str, int] | Path


class TCPProxy:
    """Listens on a port of 127.0.0.1 and passes bytes to ``target`` (host and port, or a Unix socket)."""

    def __init__(self, target: Target) -> None:
        self.target = target
        #: Seconds each chunk waits before it is passed on, in each direction.
        self.delay = 0.0
        #: Connections taken so far.
        self.accepted = 0
        self._swallow = False
        self._changed = threading.Condition()
        self._pairs: set[tuple[socket.socket, socket.socket]] = set()
        self._listener: socket.socket | None = None
        self.port = 0
        self.start()

    @property
    def url(self) -> str:
        """Its address as a Redis URL."""
        return f"redis://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Listen (again), at the same port as before."""
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", self.port))
        listener.listen(128)
        self.port, self._listener = int(listener.getsockname()[1]), listener
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()

    def pass_through(self) -> None:
        """Behave: what was swallowed so far stays lost."""
        with self._changed:
            self.delay, self._swallow = 0.0, False
        if self._listener is None:
            self.start()

    def black_hole(self) -> None:
        """Accept and swallow: connections open, and no byte arrives in either direction."""
        self._swallow = True

    def drop(self) -> int:
        """Reset every established connection and go on accepting new ones; returns how many fell."""
        with self._changed:
            pairs, self._pairs = self._pairs, set()
        for one in (end for pair in pairs for end in pair):
            _reset(one)
        return len(pairs)

    def refuse(self) -> None:
        """Refuse new connections; established ones go on."""
        listener, self._listener = self._listener, None
        if listener is not None:
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)  # wakes the thread in accept()
            listener.close()

    def close(self) -> None:
        self.refuse()
        self.drop()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                near, _ = listener.accept()
            except OSError:
                return
            self.accepted += 1
            threading.Thread(target=self._serve, args=(near,), daemon=True).start()

    def _serve(self, near: socket.socket) -> None:
        try:
            far = _connect(self.target)
        except OSError:
            return _reset(near)
        pair = (near, far)
        with self._changed:
            self._pairs.add(pair)
        threading.Thread(target=self._pump, args=(far, near), daemon=True).start()
        self._pump(near, far)
        with self._changed:
            self._pairs.discard(pair)
        return None

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        """Pass bytes one way until either side ends; then end both."""
        with contextlib.suppress(OSError):
            while chunk := source.recv(65536):
                time.sleep(self.delay)
                if not self._swallow:
                    sink.sendall(chunk)
        for one in (source, sink):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()


def _connect(target: Target) -> socket.socket:
    if isinstance(target, tuple):
        return socket.create_connection(target)
    far = socket.socket(socket.AF_UNIX)
    far.connect(str(target))
    return far


def _reset(one: socket.socket) -> None:
    """Close with RST where the system lets us: the other side sees an error, not an orderly end."""
    linger_at_zero = b"\x01\x00\x00\x00\x00\x00\x00\x00"
    with contextlib.suppress(OSError):
        one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger_at_zero)
    with contextlib.suppress(OSError):
        one.shutdown(socket.SHUT_RD)  # wakes the thread in recv()
    one.close()
