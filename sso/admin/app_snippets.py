"""Configuration and code to paste, filled in for one app."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from django.conf import settings

from sso.edge.app_cookies import HUB_COOKIE
from sso.origins import Origin
from sso.proxy_config import TEMPLATES, Address, chosen_origins, fill, render

if TYPE_CHECKING:
    from sso.models import RelyingApp

FOLDER: Final = Path(__file__).resolve().parent.parent / "snippets"
#: Title and file of the code, in the order it is shown.
CODE: Final = (
    ("Django", "django.py.txt"),
    ("Flask", "flask.py.txt"),
    ("FastAPI", "fastapi.py.txt"),
    ("Express", "express.js.txt"),
    ("Rails", "rails.rb.txt"),
    ("A page's JavaScript", "browser.js.txt"),
    ("curl", "curl.sh.txt"),
)
#: How the proxies are called by those who make them.
PROXIES: Final = {
    "nginx": "nginx",
    "traefik": "Traefik",
    "caddy": "Caddy",
    "haproxy": "HAProxy",
    "envoy": "Envoy",
}
#: Where the edge and the app are, until somebody writes their own address.
EDGE, UPSTREAM = Address("127.0.0.1", 8000), Address("127.0.0.1", 9000)


@dataclass(frozen=True, slots=True)
class Snippet:
    """``problem`` instead of a text where this app cannot be served that way."""

    title: str
    text: str
    problem: str = ""


def of(app: RelyingApp) -> list[Snippet]:
    """All snippets for the app, proxies first."""
    return [*_proxies(app), *_code(app)]


def _proxies(app: RelyingApp) -> Iterator[Snippet]:
    for name in TEMPLATES:
        try:
            yield Snippet(PROXIES[name], _configuration(name, app))
        except ValueError as error:
            yield Snippet(PROXIES[name], "", f"{error}.")


def _configuration(proxy: str, app: RelyingApp) -> str:
    origins = chosen_origins(tuple(app.origins), None)
    cookies = (settings.SSO_COOKIE_NAME, HUB_COOKIE)
    return render(proxy, name=app.name, origins=origins, edge=EDGE, upstream=UPSTREAM, cookies=cookies)


def _code(app: RelyingApp) -> Iterator[Snippet]:
    if not app.origins:
        return
    site = settings.SSO_SITES.covering(Origin.parse(app.origins[0])) or settings.SSO_SITES.primary
    words = {
        "hub": str(site.hub),
        "origin": app.origins[0],
        "prefix": settings.SSO_REDIS_PREFIX,
        "cookie": settings.SSO_COOKIE_NAME,
        "client_id": app.client_id,
    }
    for title, file in CODE:
        yield Snippet(title, fill((FOLDER / file).read_text(), words))
