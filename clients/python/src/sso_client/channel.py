"""One tracked connection without its I/O: what has to be sent, what came in, and what that proves."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, Final, Protocol

import hiredis

from sso_client.wire import INCOMPLETE, LinkLost, pack, role_of

#: Seconds a hit may be older than the last proof that the link works.
LEASE: Final = 1.5
#: Seconds between two proofs.
BEAT: Final = LEASE / 4

_HELLO: Final = pack("HELLO")


class Listener(Protocol):
    """Who hears what changed."""

    def keys_changed(self, keys: list[str]) -> None: ...

    def everything_changed(self) -> None: ...

    def proven(self) -> None:
        """A beat was answered: :attr:`Channel.proven_until` moved on."""


def tracking_command(prefixes: Iterable[str]) -> bytes:
    """``CLIENT TRACKING`` for every key under these prefixes.

    NOLOOP: what this connection itself changes (the ``GETEX`` of an activity report) is not pushed back to it; the
    reply to that command shows what others did before.
    """
    words = [word for prefix in prefixes for word in ("PREFIX", prefix)]
    return pack("CLIENT", "TRACKING", "ON", "BCAST", *words, "NOLOOP")


class Channel:
    """Replies and pushes in the order Redis sent them, and a lease renewed by answered beats.

    The beat is a bare ``HELLO``: it needs no permission, and its reply tells when a master was demoted.
    """

    def __init__(self, listener: Listener, parser: hiredis.Reader, role: bytes = b"") -> None:
        self._listener = listener
        self._parser = parser
        self._role = role
        self._waiting: deque[Callable[[Any], None]] = deque()
        self._beat_sent = -LEASE
        self._beat_pending = False
        #: Pushes have arrived in order until this moment at least (``time.monotonic()``) plus LEASE.
        self.proven_until = 0.0

    def expect(self, handler: Callable[[Any], None]) -> None:
        """The next command sent has its reply given to ``handler``."""
        self._waiting.append(handler)

    def feed(self, data: bytes) -> None:
        """Take in what arrived. Raises LinkLost when it makes no sense."""
        try:
            self._parser.feed(data)
            self.drain()
        except hiredis.HiredisError as error:
            raise LinkLost(f"no Redis at the other end ({type(error).__name__})") from error

    def drain(self) -> None:
        """Handle every complete message that is in the parser."""
        gets, waiting = self._parser.gets, self._waiting
        while (message := gets()) is not INCOMPLETE:
            if isinstance(message, hiredis.PushNotification):
                self._pushed(message)
            elif waiting:
                waiting.popleft()(message)
            else:
                raise LinkLost("replies are out of step")

    def beat(self, now: float) -> bytes:
        """What to send now to prove the link, perhaps nothing. Raises LinkLost when a beat went unanswered."""
        if self._beat_pending:
            if now - self._beat_sent > LEASE:
                raise LinkLost("the link fell silent")
            return b""
        if now - self._beat_sent < BEAT:
            return b""
        self._beat_sent, self._beat_pending = now, True
        self.expect(self._answered)
        return _HELLO

    def _answered(self, reply: Any) -> None:
        role = role_of(reply)
        self._role = self._role or role
        if role != self._role:
            raise LinkLost(f"the server is not a {self._role.decode()} any more: {str(reply)[:80]}")
        self._beat_pending = False
        self.proven_until = self._beat_sent + LEASE
        self._listener.proven()

    def _pushed(self, message: Any) -> None:
        if not message or message[0] != b"invalidate":
            return  # nothing we asked for: maintenance notices and the like
        if message[1] is None:
            self._listener.everything_changed()
        else:
            self._listener.keys_changed([key.decode(errors="replace") for key in message[1]])
