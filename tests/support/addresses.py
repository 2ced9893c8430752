"""Every address of the hub, for tests that hold something for all of them: a new route is among them by itself."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache

from django.urls import URLPattern, URLResolver, get_resolver

#: Examples of routes that no rule makes one of, or that deserve several.
EXAMPLES = {
    "login/": ("/login/", "/login/?rd=%2F", "/login/?rd=https%3A%2F%2Fevil.test"),
    "logout/": ("/logout/", "/logout/?rd=%2F"),
    "api/session": ("/api/session", "/api/session?everywhere=1"),
    "^api/sessions/(?P<sid>[A-Za-z0-9_-]{1,64})$": ("/api/sessions/Zk3Zk3Zk3Zk3Zk3Zk3Zk3w",),
    "^api/": ("/api/", "/api/nothing"),
    r"^password/reset/(?P<uidb36>[0-9A-Za-z]+)-(?P<key>.+)/$": ("/password/reset/1a-key/",),
    r"^email/verify/(?P<key>[-:\w]+)/$": ("/email/verify/a:b/",),
}
CONVERTED = {
    "int": "1",
    "str": "a",
    "slug": "a",
    "path": "a/b",
    "uuid": "0b6c1d52-5f4e-4a34-9a76-27d4f0b9a001",
}
#: What is answered before Django's routes are asked, and what nobody knows.
OTHERS = (
    "/api/authz/auth-request",
    "/api/authz/forward-auth",
    "/api/authz/ext-authz/some/path?x=1",
    "/api/authz/nothing",
    "/api/introspect",
    "/static/accounts/pages.css",
    "/static/accounts/nothing.css",
    "/static/",
    "/admin/",
    "/admin/login/",
    "/account/",
    "/metrics",
    "/nothing",
    "/login",
    "//evil.test/",
    "/%2e%2e/etc/passwd",
    "/%00",
    "/%ff",
)


@cache
def everything() -> tuple[str, ...]:
    """One address of every route at least, then all others."""
    return (*(path for route in routes() for path in examples(route)), *OTHERS)


def examples(route: str) -> tuple[str, ...]:
    """``account/keys/<int:pk>/`` -> ``/account/keys/1/``; a regular expression needs an entry in ``EXAMPLES``."""
    if route in EXAMPLES:
        return EXAMPLES[route]
    assert not route.startswith("^"), f"give an example of {route}"
    return ("/" + re.sub(r"<(?:(\w+):)?\w+>", lambda part: CONVERTED[part[1] or "str"], route),)


def routes() -> Iterator[str]:
    """Every route of ``urls.py``, as it is written there."""
    yield from _beneath(get_resolver().url_patterns, "")


def _beneath(patterns: list[URLPattern | URLResolver], prefix: str) -> Iterator[str]:
    for pattern in patterns:
        route = prefix + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            yield from _beneath(pattern.url_patterns, route)
        else:
            yield route
