"""My apps: the relying apps that are open to one person, as the start page shows them."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING
from urllib.parse import urlencode, urlsplit

from accounts import brand
from accounts.destinations import Destination
from sso.handoff import hubs

if TYPE_CHECKING:
    from accounts.models import User
    from sso.registry import App, Registry

#: How many colours of tiles ``pages.css`` knows (``tile-0`` and up).
TINTS = 6


@dataclass(frozen=True, slots=True)
class Launcher:
    """One tile: where it leads, and how to recognise it."""

    title: str
    url: str
    host: str
    #: A class of pages.css, or of the apps' own stylesheet.
    tint: str
    #: Where its picture is, or empty.
    logo: str


def apps_for(user: User, registry: Registry) -> list[Launcher]:
    """The apps that admit the person's groups and can be opened by a link, by title."""
    groups = tuple(user.groups.values_list("name", flat=True))
    admitted = (_launcher(app) for app in registry.apps if app.admits(groups))
    return sorted(filter(None, admitted), key=lambda tile: tile.title.casefold())


def _launcher(app: App) -> Launcher | None:
    url = app.launch_url or next(iter(app.origins), "")
    parts = urlsplit(url)
    if parts.scheme not in ("https", "http"):
        return None
    return Launcher(app.title or app.name, _way_to(url, app), parts.netloc, tint_of(app), logo_of(app))


def _way_to(url: str, app: App) -> str:
    """At an app of another site by way of the hubs, so that also its public pages know who comes."""
    there = Destination(url, app)
    try:
        further = there.site not in (None, hubs.primary()) and str(there.origin) in app.origins
    except ValueError:  # opened by a link that nobody could come back to
        further = False
    taken = not app.return_addresses or url in app.return_addresses
    return f"/login/?{urlencode({'rd': url})}" if further and taken else url


def tint_of(app: App) -> str:
    """Its own colour, else the same of ours for the same app, whatever is registered beside it."""
    return brand.tint(app) or f"tile-{sha256(app.name.encode()).digest()[0] % TINTS}"


def logo_of(app: App) -> str:
    return brand.address(app.logo) if app.logo else ""
