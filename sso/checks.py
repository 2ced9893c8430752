"""System checks: what types cannot see. ``manage.py check`` runs the errors, ``check --deploy`` the warnings too.

A wrong value never gets this far (authserver/environment.py refuses it); here stand the values that are right
one by one and wrong together, or right on a laptop and wrong in production. docs/settings.md lists the ids.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterable, Iterator
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Final, cast
from urllib.parse import urlsplit

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register
from redis.exceptions import RedisError
from sso_client.errors import StoreUnavailable

from authserver.environment import variables
from sso import redis

#: NIST SP 800-63B-4 §2.2.3 (AAL2): seconds without activity, seconds in all; §2.1.3 (AAL1): remembered.
NIST_IDLE: Final = 3600
NIST_ABSOLUTE: Final = 24 * 3600
NIST_REMEMBER: Final = 30 * 24 * 3600

#: Seconds that a request may lose to a Redis that does not answer.
LONGEST_WAIT: Final = 1.0

E001 = Error(
    "SESSION_COOKIE_DOMAIN or CSRF_COOKIE_DOMAIN is set, so cookies that open the auth server would travel to "
    "every sibling host.",
    hint="Remove both. Only the shared cookie has a domain, and SSO_SITES names it.",
    id="sso.E001",
)
E002 = Error(
    "A cookie of the auth server is not Secure or its name does not begin with __Host-, so a sibling host "
    "could set it.",
    hint="Keep SESSION_COOKIE_NAME and CSRF_COOKIE_NAME as they are, with …_SECURE = True and …_PATH = '/'.",
    id="sso.E002",
)
E003 = Error(
    "The cookie domain is localhost, and browsers keep no cookie for it.",
    hint="Use a domain below it: SSO_SITES=example.localhost=http://auth.example.localhost:8000",
    id="sso.E003",
)
W001 = Warning(
    "DEBUG is on, so an error page shows settings and source to whoever causes one.",
    hint="Unset DEBUG.",
    id="sso.W001",
)
W002 = Warning(
    "SSO_REDIS_URL is not set, so sessions live in an embedded server that only this machine reaches.",
    hint="Set SSO_REDIS_URL, so that relying apps on other machines can read sessions.",
    id="sso.W002",
)
W003 = Warning(
    "The database is SQLite, which one machine has to itself and one writer at a time.",
    hint="Set DATABASE_URL=postgresql://user:password@host:5432/name",
    id="sso.W003",
)
W004 = Warning(
    "SECRET_KEY is short, simple or Django's example, so what it signs can be forged.",
    hint="Set 50 random characters or more: python -c 'import secrets; print(secrets.token_urlsafe(48))'",
    id="sso.W004",
)
W005 = Warning(
    "SECRET_KEY is not set, so each machine makes its own and does not accept what another one signed.",
    hint="Set SECRET_KEY, or SECRET_KEY_FILE, to the same value everywhere.",
    id="sso.W005",
)
W006 = Warning(
    "SSO_IDLE_TIMEOUT is longer than the one hour NIST SP 800-63B-4 advises for AAL2.",
    hint="Set SSO_IDLE_TIMEOUT=1h, or silence this when your risk allows it.",
    id="sso.W006",
)
W007 = Warning(
    "SSO_ABSOLUTE_LIFETIME is longer than the 24 hours NIST SP 800-63B-4 advises for AAL2.",
    hint="Set SSO_ABSOLUTE_LIFETIME=24h, or silence this when your risk allows it.",
    id="sso.W007",
)
W008 = Warning(
    "SSO_REMEMBER_LIFETIME is longer than the 30 days NIST SP 800-63B-4 advises even for AAL1.",
    hint="Set SSO_REMEMBER_LIFETIME=30d, or silence this when your risk allows it.",
    id="sso.W008",
)
W009 = Warning(
    "The hub is https and SSO_TRUSTED_PROXIES is empty, so behind a proxy every request would seem to be plain "
    "http from one address.",
    hint="Name the proxy that ends TLS: SSO_TRUSTED_PROXIES=10.0.0.5, a network, or unix.",
    id="sso.W009",
)
W010 = Warning(
    "A hub is plain http, which works on this machine only.",
    hint="Set SSO_SITES to your domain and hub, such as example.com=auth.example.com",
    id="sso.W010",
)
W011 = Warning(
    "Redis does not answer, so nobody can sign in and nothing about it could be checked.",
    hint="Start it, or correct SSO_REDIS_URL.",
    id="sso.W011",
)
W012 = Warning(
    "Redis throws keys away when its memory is full, and a thrown-away session is somebody signed out.",
    hint="Set maxmemory-policy noeviction; then a full Redis refuses new sign-ins and keeps those it has.",
    id="sso.W012",
)
W013 = Warning(
    "Redis keeps no append-only file, so a restart forgets sign-ins and brings back sessions that had ended.",
    hint="Set appendonly yes.",
    id="sso.W013",
)
W014 = Warning(
    "Redis is reached over a network without TLS, so whoever listens learns the password and who is signed in.",
    hint="Use rediss:// in SSO_REDIS_URL, or silence this on a network that is encrypted below.",
    id="sso.W014",
)
W015 = Warning(
    "SSO_REDIS_TIMEOUT is longer than one second, so a Redis that hangs makes every request hang.",
    hint="Set SSO_REDIS_TIMEOUT=0.5",
    id="sso.W015",
)
W016 = Warning(
    "Other users of this machine can read the data folder, where sessions and the secret key are.",
    hint="chmod 700 the folder that SSO_DATA_DIR names.",
    id="sso.W016",
)


def unknown_variable(name: str, known: str) -> Warning:
    """sso.W017: a name that nothing reads, and the one that was probably meant."""
    return Warning(
        f"{name} is set and nothing reads it.",
        hint=f"Did you mean {known}?",
        id="sso.W017",
    )


def _holding(*pairs: tuple[CheckMessage, bool]) -> list[CheckMessage]:
    """The messages whose condition holds."""
    return [message for message, holds in pairs if holds]


@register(Tags.security)
def check_cookies(**_: Any) -> list[CheckMessage]:
    """The auth server's own cookies stay on its host, and the shared one has a domain that browsers take."""
    return _holding(
        (E001, bool(settings.SESSION_COOKIE_DOMAIN or settings.CSRF_COOKIE_DOMAIN)),
        (E002, not all(_is_host_cookie(kind) for kind in ("SESSION", "CSRF"))),
        (E003, any(site.domain == "localhost" for site in settings.SSO_SITES)),
    )


def _is_host_cookie(kind: str) -> bool:
    """What browsers demand of a ``__Host-`` cookie (RFC 6265bis §4.1.3.2), the domain apart."""
    name, secure, path = (getattr(settings, f"{kind}_COOKIE_{part}") for part in ("NAME", "SECURE", "PATH"))
    return bool(name.startswith("__Host-") and secure and path == "/")


@register(Tags.security)
def check_unknown_variables(**_: Any) -> list[CheckMessage]:
    """A misspelt variable leaves its default in force, silently."""
    return [unknown_variable(*pair) for pair in misspelt(os.environ)]


def misspelt(names: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Names that begin with ``SSO_``, are read by nothing and look much like one that is."""
    known = variables()
    for name in sorted(names):
        if name.startswith("SSO_") and name not in known:
            for close in difflib.get_close_matches(name, known, n=1, cutoff=0.8):
                yield name, close


@register(Tags.security, deploy=True)
def check_production(**_: Any) -> list[CheckMessage]:
    """What is fine on a laptop and not in production."""
    sites, proxies = settings.SSO_SITES, settings.SSO_TRUSTED_PROXIES
    return _holding(
        (W001, settings.DEBUG),
        (W002, settings.SSO_REDIS_URL is None),
        (W003, settings.DATABASES["default"]["ENGINE"].endswith("sqlite3")),
        (W009, not proxies and any(site.hub.is_secure for site in sites)),
        (W010, not all(site.hub.is_secure for site in sites)),
        (W014, _is_plain_network(settings.SSO_REDIS_URL or "")),
        (W015, settings.SSO_REDIS_TIMEOUT > LONGEST_WAIT),
    )


@register(Tags.security, deploy=True)
def check_secrets(**_: Any) -> list[CheckMessage]:
    """The secret key is long, random, shared by all machines, and readable by us alone."""
    key, folder = settings.SECRET_KEY, Path(settings.SSO_DATA_DIR)
    return _holding(
        (W004, len(key) < 50 or len(set(key)) < 5 or key.startswith("django-insecure-")),
        (W005, _holds(folder / "secret_key", key)),
        (W016, folder.is_dir() and bool(folder.stat().st_mode & 0o077)),
    )


@register(Tags.security, deploy=True)
def check_lifetimes(**_: Any) -> list[CheckMessage]:
    """Lifetimes beyond what NIST advises are somebody's decision, so they are said, not refused."""
    return _holding(
        (W006, settings.SSO_IDLE_TIMEOUT > NIST_IDLE),
        (W007, settings.SSO_ABSOLUTE_LIFETIME > NIST_ABSOLUTE),
        (W008, settings.SSO_REMEMBER_LIFETIME > NIST_REMEMBER),
    )


@register(Tags.security, deploy=True)
def check_redis(**_: Any) -> list[CheckMessage]:
    """Redis answers, evicts nothing and forgets nothing. The embedded one is set up that way by us."""
    if settings.SSO_REDIS_URL is None:
        return []
    try:
        with redis.answering() as client:
            memory, persistence = _info(client, "memory"), _info(client, "persistence")
    except (StoreUnavailable, RedisError):
        return [W011]
    return _holding(
        (W012, memory.get("maxmemory_policy", "noeviction") != "noeviction"),
        (W013, persistence.get("aof_enabled", 1) == 0),
    )


def _info(client: Any, section: str) -> dict[str, Any]:
    """One section of ``INFO``, which managed servers answer where ``CONFIG`` is forbidden."""
    return cast("dict[str, Any]", client.info(section))


def _holds(path: Path, key: str) -> bool:
    try:
        return path.read_text().strip() == key
    except OSError:
        return False


def _is_plain_network(url: str) -> bool:
    """Whether a Redis address leaves this machine without TLS."""
    if not re.match(r"redis(\+[a-z]+)?://", url):
        return False
    hosts = urlsplit(url).netloc.rpartition("@")[2].split(",")
    return not all(_is_loopback(urlsplit(f"//{host}").hostname or "localhost") for host in hosts)


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
