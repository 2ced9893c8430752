"""The doctor's rounds: one of all hub processes looks at everything now and then, so that the dashboard knows."""

from __future__ import annotations

import logging
import os
import random
import threading
import time
from contextlib import suppress
from typing import Final

from django.conf import settings
from django.db import close_old_connections
from sso_client.errors import StoreUnavailable

from sso.doctor import report
from sso.redis import answering, delete, keys

log = logging.getLogger("sso.doctor")

#: Seconds between two rounds of the installation; seconds after a start, so that it does not compete with it.
EVERY: Final = 15 * 60
FIRST: Final = 90
#: Seconds between two rounds that administrators ask for.
ASKED: Final = 10
_started: set[int] = set()


def start() -> None:
    """Go on rounds in a thread of this process, if they are wanted; once a process, after a fork."""
    if settings.SSO_DOCTOR_ROUNDS and os.getpid() not in _started:
        _started.add(os.getpid())
        threading.Thread(target=_rounds, name="doctor", daemon=True).start()


def _rounds() -> None:
    time.sleep(FIRST * (1 + random.random()))  # noqa: S311 - only to come at different times
    while True:
        go()
        time.sleep(EVERY)


def go() -> None:
    """One round, unless another process was there a moment ago. Raises nothing: it is nobody's request."""
    try:
        close_old_connections()
        with answering() as redis:
            mine = redis.set(keys().doctors("round"), 1, nx=True, ex=EVERY - 60)
        if mine:
            report.keep(report.make())
    except Exception as error:
        log.warning("doctor_round_failed error=%s", type(error).__name__)
    finally:
        close_old_connections()


def look() -> None:
    """A round because somebody asked for one, at most one in :data:`ASKED` seconds. Raises nothing."""
    with suppress(StoreUnavailable):
        with answering() as redis:
            first = redis.set(keys().doctors("asked"), 1, nx=True, ex=ASKED)
        if not first:
            return  # one is on, or just over: each asks every app from here
        delete([keys().doctors("round")])
    go()
