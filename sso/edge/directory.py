"""The registry with everything the edge derives from it once, not once a request."""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator
from typing import Any

from sso.edge.answers import NOTHING_MORE, Headers
from sso.edge.requests import WANT_REGISTRY, Want
from sso.errors import TryAgain
from sso.origins import Origin
from sso.registry import App, Registry
from sso.sites import Sites


class Directory:
    """Apps by origin and by client id, and the CORS headers of each registered origin."""

    def __init__(self, registry: Registry, sites: Sites) -> None:
        self.registry = registry
        self._sites = sites
        claims = Counter(origin for app in registry.apps for origin in set(app.origins))
        #: An origin that two apps claim belongs to neither.
        self.by_origin = {
            origin: app for app in registry.apps for origin in app.origins if claims[origin] == 1
        }
        self._cors = {origin: cors_headers(origin) for origin in registry.origins}

    def cors(self, origin: str | None) -> Headers:
        """What lets a page of exactly this registered origin read the answer; nothing for any other."""
        return self._cors.get(origin, NOTHING_MORE) if origin else NOTHING_MORE

    def knows(self, origin: str | None) -> bool:
        """Whether an ``Origin`` header names a registered origin, byte for byte."""
        return origin in self._cors

    def sites_of(self, app: App) -> frozenset[str]:
        """The cookie domains of the sites that the app's origins are on."""
        found = (self._sites.covering(Origin.parse(origin)) for origin in app.origins)
        return frozenset(site.domain for site in found if site)


def cors_headers(origin: str) -> Headers:
    """CORS (WHATWG Fetch §3.3) with credentials, for an origin out of the registry."""
    return Headers(
        [
            ("Access-Control-Allow-Origin", origin),
            ("Access-Control-Allow-Credentials", "true"),
            ("Access-Control-Expose-Headers", "Retry-After"),
        ]
    )


def wanted_directory() -> Generator[Want, Any, Directory]:
    """Ask for the registry. Raises ``TryAgain`` when none was ever published: unknown is not empty."""
    directory: Directory | None = yield WANT_REGISTRY
    if directory is None:
        raise TryAgain("no registry is published")
    return directory
