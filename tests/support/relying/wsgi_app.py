"""A bare WSGI application."""

import os
from collections.abc import Callable, Iterable
from typing import Any

from sso_client import SessionReader
from sso_client.wsgi import SSOMiddleware, signed_in


def site(environ: dict[str, Any], start_response: Any, /) -> Iterable[bytes]:
    if environ["PATH_INFO"] == "/late":
        start_response("200 OK", [("Content-Type", "text/plain")])
        signed_in(environ)
    text = PAGES[environ["PATH_INFO"]](environ)
    start_response("200 OK", [("Content-Type", "text/plain; charset=utf-8"), ("Cache-Control", "no-store")])
    return [text.encode()]


def maybe(environ: dict[str, Any]) -> str:
    session = environ["sso.session"]
    return session.user.name if session else "nobody"


PAGES: dict[str, Callable[[dict[str, Any]], str]] = {
    "/public": lambda environ: "for everybody",
    "/maybe": maybe,
    "/private": lambda environ: signed_in(environ).user.name,
    "/editors": lambda environ: signed_in(environ, groups=["editors", "chiefs"]).user.name,
}
app = SSOMiddleware(
    site,
    SessionReader(os.environ["SSO_REDIS_URL"]),
    hub="https://auth.example.com",
    app_origin=os.environ.get("APP_ORIGIN"),
    ignore=("/public",),
)
