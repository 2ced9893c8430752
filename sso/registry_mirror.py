"""The registry for Django code: read from memory, told of changes by a push from Redis.

Whenever the link to Redis comes up, and whenever the published registry is found missing, the hub publishes
what SQL says: a change that was saved while Redis was away arrives as soon as it is back.
"""

from __future__ import annotations

import logging
import threading
import time
from functools import cache

from django.conf import settings
from django.db import DatabaseError, close_old_connections
from sso_client.errors import StoreUnavailable
from sso_client.reader import TrackedReader

from sso import redis
from sso.doctor import beacon
from sso.edge.sources import decode_registry
from sso.outbox import follow_pending
from sso.registry import Registry
from sso.registry_publishing import publish

log = logging.getLogger("sso.registry")

RETRY_SECONDS = 5
#: Between two looks for changes that whoever made them did not live to follow.
LOOK_SECONDS = 60


def current() -> Registry:
    """The registry as of less than a second ago. Raises ``StoreUnavailable`` when Redis does not answer."""
    registry = _reader().get(redis.keys().registry)
    return registry if registry is not None else publish()


def start() -> None:
    """Bring the link up now, and look after what was left over: a hub process calls this when it begins to serve."""
    _reader().start()
    threading.Thread(target=_look_after, name="sso-catch-up", daemon=True).start()


def _look_after() -> None:
    """Somebody may have died between a change and what it entails: the next hub process does it."""
    while True:
        time.sleep(LOOK_SECONDS)
        catch_up()


@cache
def _reader() -> TrackedReader[Registry]:
    return TrackedReader(
        redis.url(),
        prefixes=[redis.keys().registry],
        decode=decode_registry,
        timeout=settings.SSO_REDIS_TIMEOUT,
        on_change=_changed,
    )


def _changed(key: str | None) -> None:
    """None: the link came up, or Redis was emptied. Until it has succeeded, catching up is tried again."""
    while key is None and not catch_up():
        time.sleep(RETRY_SECONDS)


def catch_up() -> bool:
    """Do what a Redis that was away has missed: publish the registry, follow pending changes of people."""
    try:
        follow_pending()  # first: whatever is wrong with apps, who was shut out stays out
        publish()
        beacon.publish()
    except (
        StoreUnavailable,
        DatabaseError,
        ValueError,
    ) as error:  # the last: an app that cannot be understood
        log.warning("catch_up_failed error=%s", type(error).__name__)
        return False
    finally:
        close_old_connections()
    return True
