"""What the server can see by itself: Redis, clocks, and whether its keys still open what was sealed."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from allauth.mfa.adapter import get_adapter
from allauth.mfa.models import Authenticator
from cryptography.fernet import InvalidToken
from django.conf import settings
from redis.exceptions import RedisError, ResponseError
from sso_client.errors import StoreUnavailable

from accounts import sealing
from accounts.records import OutgoingMail
from sso.doctor import beacon, calls
from sso.doctor.findings import Finding, unique
from sso.doctor.rules import Place, where_it_belongs
from sso.oidc.keys import PURPOSE as SIGNING
from sso.oidc.models import SigningKey
from sso.origins import Origin
from sso.proxy_check.trial import trial_session
from sso.redis import answering
from sso.registry import App

log = logging.getLogger("sso.doctor")

#: Seconds that Redis' clock and ours may differ: a session lives some thousand.
REDIS_SLACK = 5
#: Sealed rows of each kind that are tried.
SAMPLE = 200


def place_of(origin: str) -> Place:
    """Where an origin's calls should go: the hub of its own site, the primary one if it has none."""
    site = settings.SSO_SITES.covering(Origin.parse(origin)) or settings.SSO_SITES.primary
    return Place(settings.SSO_SITES, site, settings.SSO_COOKIE_NAME, origin)


def of_server() -> list[Finding]:
    """Redis and keys, and every hub as the public reaches it."""
    found = [*of_redis(), *of_keys()]
    for site in settings.SSO_SITES:
        found += calls.of_hub(Place(settings.SSO_SITES, site, settings.SSO_COOKIE_NAME))
    return unique(found)


# -- Redis


def of_redis() -> Iterator[Finding]:
    """Reachable, on time, keeping what it holds."""
    try:
        beacon.publish()
        with answering() as redis:
            seconds, microseconds = redis.time()
            difference = round(abs(time.time() - seconds - microseconds / 1e6))
            policy = _policy(redis)
    except StoreUnavailable:
        yield _here("redis_unreachable")
        return
    if difference > REDIS_SLACK:
        yield _here("clock_redis", seconds=difference)
    if policy != "noeviction":
        yield _here("redis_evicts", policy=policy)


def _policy(redis: Any) -> str:
    """Some managed servers do not tell; then there is nothing to say."""
    try:
        return str(redis.info("memory").get("maxmemory_policy", "noeviction"))
    except (ResponseError, RedisError):
        return "noeviction"


def _here(code: str, **facts: str | int) -> Finding:
    return Place(settings.SSO_SITES, settings.SSO_SITES.primary, settings.SSO_COOKIE_NAME).finding(
        code, **facts
    )


# -- keys


def of_keys() -> Iterator[Finding]:
    """Whether what was sealed under ``SECRET_KEY`` still opens. What is sealed is looked at by nobody."""
    kinds: tuple[tuple[str, Iterable[str], Callable[[str], object]], ...] = (
        ("mail", _letters(), lambda text: sealing.keys("accounts.mail").decrypt(text.encode())),
        ("second factors", _factors(), lambda text: get_adapter().decrypt(text)),
        ("signing keys", _signing_keys(), lambda text: sealing.keys(SIGNING).decrypt(text.encode())),
    )
    for kind, rows, unseal in kinds:
        if count := sum(not _opens(unseal, row) for row in rows):
            yield _here("old_secret_key", kind=kind, count=count)


def _letters() -> Iterator[str]:
    yield from OutgoingMail.objects.order_by("-pk").values_list("sealed", flat=True)[:SAMPLE]


def _factors() -> Iterator[str]:
    """Secrets of one-time codes, and seeds of recovery codes."""
    for data in Authenticator.objects.order_by("-pk").values_list("data", flat=True)[:SAMPLE]:
        yield from (str(data[name]) for name in ("secret", "seed") if data.get(name))


def _signing_keys() -> Iterator[str]:
    yield from SigningKey.objects.exclude(sealed_private="").values_list("sealed_private", flat=True)


def _opens(unseal: Callable[[str], object], text: str) -> bool:
    try:
        unseal(text)
    except InvalidToken:
        return False
    return True


# -- apps


def of_app(app: App) -> list[Finding]:
    """Every origin of the app: can it get the cookie, can its pages read our answers, does it know who is signed in."""
    return unique([one for origin in app.origins for one in _of_origin(app, origin)])


def _of_origin(app: App, origin: str) -> Iterator[Finding]:
    place = place_of(origin)
    if elsewhere := where_it_belongs(place):
        yield elsewhere
        return
    yield from calls.of_hub(place)
    try:
        with trial_session(app, place.site.domain) as (value, _session):
            found = calls.of_app(
                place,
                _target(app, origin),
                trial=value,
                clock=time.time(),
                prefix=settings.SSO_REDIS_PREFIX,
            )
            yield from list(found)
    except StoreUnavailable as error:
        log.info("doctor_without_redis: %s", error)


def _target(app: App, origin: str) -> str:
    """Where the app is opened from "my apps", else its first page."""
    here = app.launch_url.removeprefix(origin)
    return here if here.startswith("/") and here != app.launch_url else "/"
