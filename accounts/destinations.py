"""Where somebody goes after signing in or out: an address of a registered app, or of the hub."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from django.conf import settings
from django.http import QueryDict

from sso import registry_mirror, return_addresses, sign_ins
from sso.errors import ReturnAddressRefused
from sso.origins import Origin
from sso.requests import HubRequest

if TYPE_CHECKING:
    from django.http import HttpResponseBase

    from sso.registry import App, Registry
    from sso.sites import Site


@dataclass(frozen=True, slots=True)
class Destination:
    """An address rebuilt from its parts, and the app it belongs to (none: the hub itself)."""

    address: str
    app: App | None

    @property
    def origin(self) -> Origin:
        parts = urlsplit(self.address)
        return Origin.parse(f"{parts.scheme}://{parts.netloc}")

    @property
    def site(self) -> Site | None:
        """The site whose shared cookie reaches it; None when no site's does."""
        found: Site | None = settings.SSO_SITES.covering(self.origin)
        return found

    @property
    def ways_out(self) -> tuple[str, ...]:
        """The origins that a form of ours may be redirected to on the way there, none for an address of the hub."""
        if self.app is None:
            return ()
        site = self.site
        further = () if site in (None, settings.SSO_SITES.primary) else (str(site.hub),)
        return (*self.app.ways_out, *further)


def read(request: HubRequest, params: QueryDict) -> Destination | None:
    """The return address among ``params``, or ``None`` when there is none.

    Raises:
        BadRequest: it came twice with different values.
        ReturnAddressRefused: it belongs to no registered app. Nothing of it may be shown or followed.
        StoreUnavailable: the registry is not known, so nothing can be said about any address.
    """
    raw = return_addresses.from_query(params)
    return None if raw is None else _resolve(request, raw, registry_mirror.current())


def of(request: HubRequest, raw: str) -> Destination:
    """Where ``raw`` leads. Raises as ``read`` does."""
    return _resolve(request, raw, registry_mirror.current())


def is_ours(request: HubRequest, address: str) -> bool:
    """Whether somebody may be sent there as it stands: it was rebuilt before (``read``), and still may be."""
    try:
        return of(request, address).address in (address, f"{request.site.hub}{address}")
    except ReturnAddressRefused:
        return False


def note_arrival(request: HubRequest, response: HttpResponseBase) -> None:
    """Note for the administrator at which app somebody arrives who signed in with this very request."""
    if request.shared_cookie_to_set is None or not response.has_header("Location"):
        return
    with suppress(ReturnAddressRefused):  # a page of the hub's own, or another hub: that one notes it
        if app := of(request, response["Location"]).app:
            sign_ins.note_app(request.session.sign_in, app.client_id)


def _resolve(request: HubRequest, raw: str, registry: Registry) -> Destination:
    def registered(origin: Origin) -> tuple[str, ...] | None:
        app = registry.app_of_origin(str(origin))
        return app.return_addresses if app else None

    found = Destination(return_addresses.resolve(raw, hub=request.site.hub, origins=registered), None)
    return replace(found, app=registry.app_of_origin(str(found.origin)) or _asking(found, registry))


def _asking(destination: Destination, registry: Registry) -> App | None:
    """The app whose OpenID Connect request goes on at the hub's own address (``sso.oidc``)."""
    parts = urlsplit(destination.address)
    if destination.origin != settings.SSO_SITES.primary.hub or parts.path != "/oauth/authorize":
        return None
    return registry.app_of_client(QueryDict(parts.query).get("client_id", ""))
