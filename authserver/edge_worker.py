"""A gunicorn worker that serves the edge over ``sso.edge.http1``: ``gunicorn -c deploy/edge.conf.py``.

gunicorn does what it is good at (sockets, processes, signals, restarts). The application is ``authserver.asgi``'s,
of which this worker takes the core and the source instead of calling it through ASGI.
"""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import sys
from contextlib import suppress
from socket import socket
from ssl import SSLContext

import uvloop
from gunicorn.sock import ssl_context
from gunicorn.workers.base import Worker

from sso.edge.asgi import AsgiEdge
from sso.edge.http1 import Http1
from sso.metrics.tally import tally

#: Seconds between two looks at whether the last answers are out.
NAP = 0.05


class EdgeWorker(Worker):  # type: ignore[misc]  # gunicorn has no types
    """One event loop, no threads."""

    def init_signals(self) -> None:
        """Until the loop runs and hears for itself, the ones inherited from gunicorn's master must not be used."""
        for number in self.SIGNALS:
            signal.signal(number, signal.SIG_DFL)

    def run(self) -> None:
        # What is loaded stays; the collector need not visit it.
        gc.collect()
        gc.freeze()
        uvloop.run(self._serve(self.wsgi))

    async def _serve(self, app: AsgiEdge) -> None:
        loop = asyncio.get_running_loop()
        self._told = asyncio.Event()
        self._hear_signals(loop)
        tls = ssl_context(self.cfg) if self.cfg.is_ssl else None
        server = Http1(app.edge, app.source, keep_alive=self.cfg.keepalive, most=self.cfg.worker_connections)
        app.source.start()
        # The loop closes its listeners a moment after it is told to; ours stay until nobody waits there.
        listeners = [one.sock.dup() for one in self.sockets]
        doors = [await loop.create_server(server, sock=one.sock, ssl=tls) for one in self.sockets]
        await self._tick_until_told(server)
        for door in doors:
            door.close()
        await asyncio.sleep(NAP)
        for listener in listeners:
            await self._take_who_waits(listener, server, tls)
        await self._last_answers(server)
        tally.flush()
        await app.source.close()

    def _hear_signals(self, loop: asyncio.AbstractEventLoop) -> None:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
            loop.add_signal_handler(number, self._end, number)
        loop.add_signal_handler(signal.SIGUSR1, self.log.reopen_files)
        loop.add_signal_handler(signal.SIGABRT, sys.exit, 1)

    def _end(self, number: int) -> None:
        """SIGTERM: in order. The others: at once."""
        self.alive = False
        self._patience = self.cfg.graceful_timeout if number == signal.SIGTERM else 0
        self._told.set()

    async def _tick_until_told(self, server: Http1) -> None:
        self._patience = self.cfg.graceful_timeout
        while self.alive and self.ppid == os.getppid():
            self.notify()
            server.tick()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._told.wait(), 1.0)

    async def _take_who_waits(self, listener: socket, server: Http1, tls: SSLContext | None) -> None:
        """Those whom the kernel has accepted for us; then the door is shut, and a proxy tries the next server."""
        loop = asyncio.get_running_loop()
        listener.setblocking(False)
        with listener, suppress(OSError):  # nobody waits any more
            while True:
                waiting, _ = listener.accept()
                await loop.connect_accepted_socket(server, waiting, ssl=tls)

    async def _last_answers(self, server: Http1) -> None:
        began = server.loop.time()
        server.end()
        while server.connections and server.loop.time() - began < self._patience:
            await asyncio.sleep(NAP)
            self.notify()
            server.tick()
