"""Every address of the hub, for tests that hold something for all of them; a test fails when one is missing here."""

from __future__ import annotations

from collections.abc import Iterator

from django.urls import URLPattern, URLResolver, get_resolver

#: What Django answers, by the route in ``urls.py`` that an example belongs to.
ROUTED = {
    "": ("/",),
    "login/": ("/login/", "/login/?rd=%2F", "/login/?rd=https%3A%2F%2Fevil.test"),
    "logout/": ("/logout/", "/logout/?rd=%2F"),
    "api/session": ("/api/session", "/api/session?everywhere=1"),
    "api/csrf": ("/api/csrf",),
    "api/sessions": ("/api/sessions",),
    "^api/sessions/(?P<sid>[A-Za-z0-9_-]{1,64})$": ("/api/sessions/Zk3Zk3Zk3Zk3Zk3Zk3Zk3w",),
    "api/openapi.json": ("/api/openapi.json",),
    "healthz": ("/healthz",),
    "readyz": ("/readyz",),
    "^api/": ("/api/", "/api/nothing"),
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
ALL = (*(path for paths in ROUTED.values() for path in paths), *OTHERS)


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
