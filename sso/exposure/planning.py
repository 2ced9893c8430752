"""What an audit of one of our sites starts from: settings and the registry."""

from __future__ import annotations

from collections.abc import Iterable

from django.conf import settings

from sso.exposure.values import Domain
from sso.origins import Origin, is_beneath
from sso.registry_publishing import from_database
from sso.sites import Site, registrable_domain


def auditable() -> list[Site]:
    """The sites that DNS knows; names under ``.localhost`` are of this machine alone."""
    return [site for site in settings.SSO_SITES if not is_beneath(site.domain, "localhost")]


def domain_of(site: Site, *, own: Iterable[str] = ()) -> Domain:
    """The site's domain with its hub, the hosts of its apps, and which domains are ours."""
    apps = {
        host: app.name
        for app in from_database().apps
        for host in (Origin.parse(origin).host for origin in app.origins)
        if site.covers(host)
    }
    ours = {registrable_domain(one.domain) or one.domain for one in settings.SSO_SITES}
    return Domain(site.domain, site.hub.host, apps, tuple(sorted(ours | set(own))))
