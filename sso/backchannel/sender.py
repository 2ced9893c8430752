"""The thread that tells apps: one in each process that serves the hub.

It alone speaks to the database; a second thread's event loop holds the connections, so that a hundred apps that
hang cost a hundred sleeping tasks. An end in this process wakes it, those of other processes are seen within
:data:`POLL` seconds.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable
from queue import Empty, SimpleQueue

from django.conf import settings
from django.db import DatabaseError, close_old_connections, connection
from sso_client.errors import StoreUnavailable

from sso import registry_mirror
from sso.backchannel import deliveries, notices, posting
from sso.backchannel.health import Health
from sso.backchannel.models import Delivery, Outcome
from sso.backchannel.posting import Answer
from sso.backchannel.targets import Rules
from sso.backchannel.tokens import logout_token
from sso.background import Background

log = logging.getLogger("sso.backchannel")

#: Seconds between two looks for notices, and for deliveries whose time has come when none is known to wait.
POLL, LOOK = 0.5, 5.0
#: Seconds to leave a database or a Redis alone that does not answer.
PAUSE = 2.0
#: Seconds between two looks for what is too old.
PRUNE = 3600.0


def rules() -> Rules:
    """Where messages may go, from settings."""
    trial = settings.SSO_SITES.primary.hub.scheme == "http"
    return Rules(settings.SSO_BACKCHANNEL_NETWORKS, trial=trial)


class Round:
    """Takes up, claims, posts and settles; one thread's."""

    def __init__(self, wake: Callable[[], None]) -> None:
        self.health = Health()
        self.settled = 0
        self._wake = wake
        self._answers: SimpleQueue[tuple[Delivery, Answer]] = SimpleQueue()
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, name="logouts-io", daemon=True).start()

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)

    @property
    def busy(self) -> bool:
        return self.health.free() < Health().free()

    def settle(self) -> None:
        """Write down what has come back. An answer whose writing fails is posted again after its lease."""
        while True:
            try:
                row, answer = self._answers.get_nowait()
            except Empty:
                return
            self.health.ended(row.client_id, well=answer.reason in ("", "refused"))
            self.settled += 1
            deliveries.settle(row, answer)

    def send(self) -> None:
        """Begin a try of everything that is due and that there is room for."""
        for row in deliveries.claim(self.health):
            begun = False
            try:
                begun = self._begin(row)
            finally:
                if not begun:
                    self.health.give_back(row.client_id)

    def _begin(self, row: Delivery) -> bool:
        app = registry_mirror.current().app_of_client(row.client_id)
        if app is None or not app.backchannel_logout_uri:
            deliveries.drop(row)
            return False
        token = logout_token(row)
        asyncio.run_coroutine_threadsafe(self._post(row, app.backchannel_logout_uri, token), self._loop)
        return True

    async def _post(self, row: Delivery, uri: str, token: str) -> None:
        answer = Answer(0, reason="failed")
        try:
            answer = await posting.post(uri, token, rules())
        finally:
            self._answers.put((row, answer))
            self._wake()


class Sender(Background):
    """One process's sender."""

    _hurry = False
    _next_look = _next_prune = 0.0

    def hurry(self) -> None:
        """Somebody wants to see it tried now: also apps that are being left alone."""
        if self._serving:
            self._hurry = True
            self.wake()

    def _run(self) -> None:
        turn = Round(lambda: self._wake.set())
        while True:
            if pause := self._turn(turn):
                threading.Event().wait(pause)
            else:
                self._wake.wait(POLL)
            self._wake.clear()

    def _turn(self, turn: Round) -> float:
        """One look; returns the seconds to leave everything alone."""
        close_old_connections()
        try:
            if self._hurry:
                self._hurry, self._next_look = False, 0.0
                turn.health.forgive()
            settled = turn.settled
            turn.settle()
            if deliveries.take_up() or turn.settled > settled or time.monotonic() >= self._next_look:
                turn.send()
                self._next_look = time.monotonic() + (POLL if deliveries.are_waiting() else LOOK)
            self._prune()
        except DatabaseError as error:
            log.error(  # noqa: TRY400 - no traceback
                "logouts_delayed: the database does not answer (%s). Apps are told when it does",
                type(error).__name__,
            )
            connection.close()
            return PAUSE
        except StoreUnavailable as error:
            log.warning("logouts_delayed: %s", error)
            return PAUSE
        except Exception:
            log.exception("logout_sender_failed")
            return PAUSE
        return 0.0

    def _prune(self) -> None:
        if time.monotonic() >= self._next_prune:
            self._next_prune = time.monotonic() + PRUNE
            deliveries.prune()


sender = Sender("logouts", notices.on_note)


def drain() -> int:
    """Try once everything that is due, here and now; returns how many tries that took. For the command.

    Raises ``StoreUnavailable`` and ``DatabaseError``.
    """
    woken = threading.Event()
    turn = Round(woken.set)
    try:
        while deliveries.take_up():
            pass
        turn.send()
        while turn.busy:
            woken.wait(posting.WHOLE)
            woken.clear()
            turn.settle()
            turn.send()
    finally:
        turn.close()
    return turn.settled


def logouts_waiting() -> int:
    """How many messages wait to reach an app. Outside any request; raises ``DatabaseError``."""
    close_old_connections()
    try:
        return Delivery.objects.filter(outcome=Outcome.WAITING).count()
    finally:
        close_old_connections()
