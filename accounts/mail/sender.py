"""The thread that sends: one in each process that serves the hub, started by the first letter or with the process.

Each looks whenever a letter is put into the outbox here, and every :data:`POLL` seconds for what others left.
A mail server that is dead or hangs holds up this thread alone.
"""

from __future__ import annotations

import logging
import threading

from django.db import DatabaseError, close_old_connections, connection

from accounts.mail import outbox
from accounts.records import OutgoingMail
from sso.audit import pruning
from sso.background import Background

log = logging.getLogger("sso.mail")

#: Seconds between two looks when nobody says that there is something.
POLL = 20.0
#: Seconds after a letter was put in: the request that did so is answered first.
SETTLE = 0.1
#: Seconds to leave a failing mail server alone.
PAUSE = 15.0


class Sender(Background):
    """One process's sender."""

    def _run(self) -> None:
        while True:
            pause = self._round()
            if pause:
                threading.Event().wait(pause)
            elif self._wake.wait(POLL):
                threading.Event().wait(SETTLE)
            self._wake.clear()

    def _round(self) -> float:
        """Send what is due; returns the seconds to leave the mail server alone."""
        close_old_connections()
        try:
            pruning.look_after()
            return PAUSE if outbox.send_due().server_down else 0.0
        except DatabaseError as error:
            log.warning("mail_outbox_unreachable: %s", type(error).__name__)
            connection.close()
            return PAUSE
        except Exception:
            log.exception("mail_sender_failed")
            return PAUSE


sender = Sender("mail", outbox._on_put)


def letters_waiting() -> int:
    """How many letters wait to be sent. Outside any request; raises ``DatabaseError``."""
    close_old_connections()
    try:
        return OutgoingMail.objects.count()
    finally:
        close_old_connections()
