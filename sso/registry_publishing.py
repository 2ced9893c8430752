"""From SQL to Redis: the registry as every process reads it."""

from __future__ import annotations

import logging
from secrets import token_urlsafe

from sso import audit, redis
from sso.models import RelyingApp
from sso.registry import Registry, secret_hash

log = logging.getLogger("sso.registry")


def from_database() -> Registry:
    return Registry(tuple(app.as_app() for app in RelyingApp.objects.defer("logo")))


def publish() -> Registry:
    """Write the registry if it differs from what Redis has; processes are told by a push.

    Raises ``StoreUnavailable``; the hub publishes again whenever its link to Redis comes up.
    """
    registry = from_database()
    document = registry.encode()
    if redis.get(redis.keys().registry, "the registry") != document:
        with redis.answering() as client:
            client.set(redis.keys().registry, document)
        log.info("registry_published apps=%d", len(registry.apps))
        audit.record(audit.Event.REGISTRY_PUBLISHED, subject="", apps=len(registry.apps))
    return registry


def new_secret(app: RelyingApp) -> str:
    """Give the app one more secret (the newest two are valid) and return it: it is shown this once only."""
    secret = token_urlsafe(32)
    app.secret_hashes = [secret_hash(secret), *app.secret_hashes][:2]
    return secret
