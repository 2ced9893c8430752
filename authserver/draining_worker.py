"""gunicorn's threaded worker, made to end without resetting connections that already wait at the door."""

from __future__ import annotations

import contextlib

from gunicorn.workers.gthread import ThreadWorker

from authserver.request_refusals import DiscreetWorker


class DrainingWorker(DiscreetWorker, ThreadWorker):  # type: ignore[misc]  # gunicorn has no types
    """On SIGTERM: take what the kernel has accepted for us, shut the door, answer everything taken.

    gunicorn's own worker keeps its listener open, unread, until the last request is done: the kernel goes on
    completing handshakes there, and resets all of them at the end. A closed door refuses at once instead, so
    that a proxy tries the next server.
    """

    def set_accept_enabled(self, enabled: bool) -> None:
        super().set_accept_enabled(enabled)
        if not enabled and not self.alive:
            self._shut_the_door()

    def _shut_the_door(self) -> None:
        for listener in self.sockets:
            listener.setblocking(False)
            waiting = -1
            while waiting != self.nr_conns:
                waiting = self.nr_conns
                with contextlib.suppress(OSError):
                    self.accept(listener)
            listener.close()

    def _cap_keepalive(self, deadline: float) -> None:
        """Browsers open connections ahead of need: one that never asked anything does not hold up the end."""
        super()._cap_keepalive(deadline)
        for conn in self.pending_conns:
            conn.timeout = min(conn.timeout, deadline)
