"""My apps: the relying apps that are open to one person, as the start page shows them."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

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
    tint: int


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
    return Launcher(app.title or app.name, url, parts.netloc, _tint(app.name))


def _tint(name: str) -> int:
    """The same colour for the same app, whoever looks and whatever is registered beside it."""
    return sha256(name.encode()).digest()[0] % TINTS
