"""Why this app does not know who is signed in: compares its settings with what the auth server publishes in Redis.

Run it where the app runs, with the app's own settings::

    python -m sso_client.doctor redis://wiki:…@redis:6379/0 --prefix sso: --origin https://wiki.example.com
"""

from __future__ import annotations

import json
import sys
import time
from argparse import ArgumentParser
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec
from redis.exceptions import AuthenticationError, NoPermissionError, RedisError, ResponseError

from sso_client.connections import connect
from sso_client.cookies import SESSION_COOKIE, CookieReader
from sso_client.record import session_key

#: Under the prefix; the auth server writes it, any app that may read sessions may read it.
BEACON: Final = "doctor"
#: Seconds that this machine's clock and that of Redis may differ.
CLOCK_SLACK: Final = 5


@dataclass(frozen=True, slots=True)
class Finding:
    """What is wrong, why that matters, and the line to change. Codes never change; none of it is secret."""

    code: str
    what: str
    why: str
    change: str


class _Beacon(msgspec.Struct, frozen=True):
    """What an app has to have right."""

    cookie: str
    #: Cookie domain -> hub.
    sites: dict[str, str]


def diagnose(
    url: str,
    *,
    prefix: str = "sso:",
    cookie: str = SESSION_COOKIE,
    origin: str = "",
    hub: str = "",
    cookie_header: str | None = None,
    timeout: float = 0.5,
) -> list[Finding]:
    """What is wrong with these settings of an app; empty when nothing was found.

    ``origin`` is the app's own address, ``hub`` the auth server's as the app has it, ``cookie_header`` a raw
    ``Cookie`` header that the app received (a latin-1 ``str``): each is looked at if given.

    Raises:
        ValueError: ``url`` is no Redis address.
    """
    redis: Any = connect(url, timeout)
    try:
        raw = redis.get(f"{prefix}{BEACON}")
        found = list(_of_redis(redis, raw, prefix))
        if raw is not None and not found:
            found = [*_of_settings(_read(raw), cookie, origin, hub)]
        found += [*_of_clock(redis), *_of_header(redis, cookie_header, prefix, cookie)]
    except (NoPermissionError, AuthenticationError) as error:
        return [_refused(error, prefix)]
    except (RedisError, OSError) as error:
        return [_unreachable(error)]
    finally:
        redis.close()
    return found


def _read(raw: bytes) -> _Beacon | None:
    try:
        return msgspec.json.decode(raw, type=_Beacon)
    except msgspec.DecodeError:
        return None


# -- Redis


def _of_redis(redis: Any, raw: bytes | None, prefix: str) -> Iterator[Finding]:
    """Whether the auth server writes to this Redis, under this prefix."""
    if raw is not None:
        if _read(raw) is None:
            yield _differs("another version of the auth server")
        return
    guess = next((other for other in _guesses(prefix) if _is_there(redis, other)), None)
    yield _differs("") if guess is None else _prefix_differs(prefix, guess)


def _guesses(prefix: str) -> list[str]:
    """What is often meant."""
    plain = prefix.rstrip(":")
    return [other for other in ("sso:", f"{plain}:", plain, "") if other != prefix]


def _is_there(redis: Any, prefix: str) -> bool:
    try:
        return redis.get(f"{prefix}{BEACON}") is not None
    except ResponseError:  # not ours to read
        return False


def _unreachable(error: Exception) -> Finding:
    return Finding(
        "redis_unreachable",
        f"Redis does not answer this app ({type(error).__name__}).",
        "Without Redis the app can tell nobody from nobody, and answers 503.",
        "Correct the Redis address in the app's settings, or open the firewall.",
    )


def _refused(error: Exception, prefix: str) -> Finding:
    return Finding(
        "redis_refused",
        f"Redis knows this app and will not let it read {prefix}session:* and {prefix}doctor ({type(error).__name__}).",
        "The Redis account is wrong, or may not do what reading a session takes.",
        "On the auth server: python manage.py redis_acl NAME, and run the line it prints in Redis.",
    )


def _prefix_differs(prefix: str, right: str) -> Finding:
    return Finding(
        "prefix_differs",
        f"The app looks under {prefix!r}; the auth server writes under {right!r}.",
        "A session is looked up by its whole key, so with another prefix nobody is ever found.",
        f"In the app: prefix={right!r} (SSO_REDIS_PREFIX on the auth server).",
    )


def _differs(why: str) -> Finding:
    return Finding(
        "redis_differs",
        f"This Redis holds nothing of the auth server{f': {why}' if why else ''}.",
        "It is another server, another database number, or another prefix than the auth server writes to.",
        "In the app: the address of SSO_REDIS_URL (with the same /0 at its end) and the prefix of SSO_REDIS_PREFIX.",
    )


def _of_clock(redis: Any) -> Iterator[Finding]:
    """The account may not be allowed to ask for the time; then nothing is said about it."""
    try:
        seconds, _microseconds = redis.time()
    except ResponseError:
        return
    difference = round(abs(time.time() - seconds))
    if difference > CLOCK_SLACK:
        yield Finding(
            "clock_redis",
            f"The clocks of this machine and of Redis differ by {difference} seconds.",
            "Sessions end by the clock, so the app ends them early or keeps them too long.",
            "Run NTP on both machines: timedatectl set-ntp true",
        )


# -- settings


def _of_settings(beacon: _Beacon | None, cookie: str, origin: str, hub: str) -> Iterator[Finding]:
    if beacon is None:
        return
    if cookie != beacon.cookie:
        yield Finding(
            "cookie_name_differs",
            f"The app reads the cookie {cookie}; the auth server sets {beacon.cookie}.",
            "A cookie is found by its exact name, so the app sees nobody.",
            f"In the app: cookie={beacon.cookie!r} (SSO_COOKIE_NAME on the auth server).",
        )
    site = next((domain for domain in beacon.sites if _covers(domain, origin)), None)
    if origin and site is None:
        yield Finding(
            "domain_not_covered",
            f"{origin} is on none of the cookie's domains: {', '.join(beacon.sites)}.",
            "A cookie for a domain goes to that name and to hosts below it, and nowhere else.",
            "Move the app below one of them, or give its domain a hub in SSO_SITES.",
        )
    right = beacon.sites[site] if site else ""
    if hub and hub not in ([right] if right else beacon.sites.values()):
        yield Finding(
            "wrong_hub",
            f"The app sends people to {hub}, which is not the hub of its site.",
            "Each site has a cookie and a hub of its own.",
            f"In the app: hub={right or next(iter(beacon.sites.values()))!r}",
        )


def _covers(domain: str, origin: str) -> bool:
    host = (urlsplit(origin).hostname or "") if origin else ""
    return host == domain or host.endswith(f".{domain}")


def _of_header(redis: Any, header: str | None, prefix: str, cookie: str) -> Iterator[Finding]:
    """What a ``Cookie`` header that arrived at the app says."""
    if header is None:
        return
    values = CookieReader(cookie).values(header)
    if len(values) > 1:
        yield Finding(
            "cookie_conflict",
            f"Two different cookies named {cookie} arrive.",
            "Servers disagree which of two counts, so two count as nobody.",
            "Delete the domain's cookies in the browser; after a change of domain set SSO_OLDER_COOKIE_DOMAINS.",
        )
    elif not values:
        yield Finding(
            "cookie_stripped",
            f"No cookie named {cookie} is in the header.",
            "The browser did not send it, or a proxy in front of the app dropped it.",
            "Open /trouble/ on the hub in that browser; look for a changed Cookie header in the app's proxy.",
        )
    elif redis.get(session_key(prefix, values[0])) is None:
        yield Finding(
            "session_unknown",
            "The cookie arrives and opens no session in this Redis.",
            "The sign-in has ended, or this is not the Redis that the auth server writes to.",
            "Sign in again and look once more; if it stays, compare the Redis address with SSO_REDIS_URL.",
        )


# -- on the command line


def main(words: list[str] | None = None) -> int:
    """Print what was found; 1 when anything was."""
    asked = _parser().parse_args(words)
    try:
        found = diagnose(
            asked.url, prefix=asked.prefix, cookie=asked.cookie, origin=asked.origin, hub=asked.hub
        )
    except ValueError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    if asked.json:
        sys.stdout.write(json.dumps({"findings": [asdict(one) for one in found]}, indent=2) + "\n")
    else:
        lines = [f"{one.code}: {one.what}\n  {one.why}\n  Change: {one.change}" for one in found]
        sys.stdout.write("\n".join(lines or ["Nothing wrong was found."]) + "\n")
    return 1 if found else 0


def _parser() -> ArgumentParser:
    parser = ArgumentParser(
        prog="python -m sso_client.doctor", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("url", help="the app's Redis address")
    parser.add_argument("--prefix", default="sso:")
    parser.add_argument("--cookie", default=SESSION_COOKIE)
    parser.add_argument(
        "--origin", default="", help="the app's own address, such as https://wiki.example.com"
    )
    parser.add_argument("--hub", default="", help="the auth server's address as the app has it")
    parser.add_argument("--json", action="store_true", help="print JSON")
    return parser


if __name__ == "__main__":
    sys.exit(main())
