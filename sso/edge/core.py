"""The hot endpoints as one pure core: (method, path, headers, peer) -> (status, headers, body).

Nothing here waits. ``Edge.handle`` gives the steps of answering a request; an adapter fetches what they want
(``sso.edge.wsgi`` in a thread, ``sso.edge.asgi`` awaiting). No Django, no SQL.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from sso_client.cookies import CookieReader
from sso_client.errors import StoreUnavailable

from sso.edge import authz, introspect, metrics, session
from sso.edge.answers import NOTHING_MORE, Answer, Headers, error_answer
from sso.edge.directory import Directory
from sso.edge.errors import OnlyTheEdge
from sso.edge.requests import Asked, Peek, Steps
from sso.edge.throttle import Throttle
from sso.errors import MethodNotAllowed, SSOError, TryAgain
from sso.metrics.door import Door
from sso.proxies import TrustedProxies
from sso.registry import Registry
from sso.sites import Site, Sites

#: Nobody may read the metrics.
SHUT = Door()


class Edge:
    """What the endpoints share: settings, the cookie's reader, the last registry that was seen."""

    def __init__(
        self,
        *,
        sites: Sites,
        proxies: TrustedProxies,
        cookie_name: str,
        clock: Callable[[], float] = time.time,
        door: Door = SHUT,
    ) -> None:
        self.sites, self.proxies, self.clock, self.door = sites, proxies, clock, door
        self.cookies = CookieReader(cookie_name)
        self.throttle = Throttle()
        self.nobody = {site: session.nobody_answer(site) for site in sites}
        #: For CORS headers on a 503 only: every verdict asks for the registry as it is now.
        self._last_directory: Directory | None = None
        self._hub_hosts = {host: site for site in sites for host in _host_headers(site)}

    def handle(self, asked: Asked) -> Steps | None:
        """The steps that answer this request, or None when the address is not the edge's."""
        path = asked.path
        if path == "/api/session":
            return session.answer(self, asked) if asked.method in session.METHODS else None
        if path.startswith("/api/authz/"):
            return self._guarded(authz.answer(self, asked, path), asked)
        if path == "/api/introspect":
            return self._guarded(introspect.answer(self, asked), asked)
        if path == metrics.PATH:
            return self._guarded(metrics.answer(self, asked), asked)
        return None

    def at_once(self, asked: Asked, peek: Peek) -> Answer | None:
        """What the steps of :meth:`handle` would come to, if ``peek`` (a look into memory) is enough to say it."""
        if asked.path == "/api/session" and asked.method in session.METHODS:
            return session.at_once(self, asked, peek)
        return None

    def directory(self, registry: Registry) -> Directory:
        """The directory of this registry, built when the registry is new."""
        last = self._last_directory
        if last is None or last.registry is not registry:
            last = self._last_directory = Directory(registry, self.sites)
        return last

    def cookie(self, asked: Asked) -> str | None:
        """The one value of the shared cookie; None when there is none, or two that differ."""
        header = asked.header("cookie")
        return self.cookies.read(header) if header else None

    def site_of_host(self, asked: Asked) -> Site | None:
        """The site whose hub the ``Host`` header names; None for internal names, which apps may use too."""
        host = asked.header("host") or ""
        return self._hub_hosts.get(host) or self._hub_hosts.get(host.lower())

    def last_cors(self, origin: str | None) -> Headers:
        """CORS headers by the registry as it was last seen: for failures, so that a page can read them."""
        return self._last_directory.cors(origin) if self._last_directory else NOTHING_MORE

    def refusal(self, error: SSOError, asked: Asked) -> Answer:
        """An error as an answer that a page of a registered origin may read."""
        return error_answer(error, self.last_cors(asked.header("origin")))

    def _guarded(self, steps: Steps, asked: Asked) -> Steps:
        """The same steps, with every error of the family turned into its answer."""
        try:
            return (yield from steps)
        except SSOError as error:
            return self.refusal(error, asked)
        except StoreUnavailable as error:
            return self.refusal(TryAgain(str(error)), asked)


def not_here(method: str, path: str) -> Answer:
    """For every address that is not the edge's, where the edge runs alone."""
    if path == "/api/session" and method not in session.METHODS:
        return error_answer(MethodNotAllowed(*session.METHODS))
    return error_answer(OnlyTheEdge())


def _host_headers(site: Site) -> tuple[str, str]:
    return site.hub.netloc, f"{site.hub.host}:{site.hub.port}"
