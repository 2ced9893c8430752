"""Who is asking, at which hub: the client's address, scheme and host as trusted proxies vouch for them."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from django.conf import settings
from django.http import HttpRequest, HttpResponseBase

from sso.api.errors import PROBES
from sso.error_responses import respond
from sso.errors import BadRequest, SSOError
from sso.requests import HubRequest

GetResponse = Callable[[HttpRequest], HttpResponseBase]
FORWARDED = ("HTTP_X_FORWARDED_FOR", "HTTP_X_FORWARDED_HOST", "HTTP_X_FORWARDED_PROTO")


class AddressingMiddleware:
    """Sets ``request.site`` and ``request.client_address``; a host that is no hub of ours is 400.

    Health probes may name any host: a load balancer asks by address, and is told nothing of anybody.

    ``X-Forwarded-*`` count only from ``SSO_TRUSTED_PROXIES`` and are gone afterwards, so that nothing
    further in can read what a stranger wrote there.
    """

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response
        self.proxies = settings.SSO_TRUSTED_PROXIES
        self.sites = settings.SSO_SITES

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        try:
            self._address(cast(HubRequest, request))
        except SSOError as error:
            return respond(request, error)
        return self.get_response(request)

    def _address(self, request: HubRequest) -> None:
        meta = request.META
        view = self.proxies.view(
            peer=meta.get("REMOTE_ADDR", ""),
            scheme=request.scheme or "http",
            host=meta.get("HTTP_HOST", ""),
            forwarded_for=meta.get("HTTP_X_FORWARDED_FOR"),
            forwarded_proto=meta.get("HTTP_X_FORWARDED_PROTO"),
            forwarded_host=meta.get("HTTP_X_FORWARDED_HOST"),
        )
        for name in FORWARDED:
            meta.pop(name, None)
        site, host = self.sites.of_host(view.host), view.host
        if site is None and request.path in PROBES:
            site, host = self.sites.primary, self.sites.primary.hub.netloc
        if site is None:
            raise BadRequest(f"no hub has the host {view.host[:80]!r}")
        meta["HTTP_HOST"], meta["REMOTE_ADDR"], meta["wsgi.url_scheme"] = host, view.address, view.scheme
        request.site, request.client_address = site, view.address
