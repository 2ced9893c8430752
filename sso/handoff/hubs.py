"""Which hub answers what: the primary one everything, those of further sites what is named here and nothing else."""

from __future__ import annotations

from django.conf import settings

from sso.sites import Site

#: Addresses of people and programs that every hub answers, for its own site.
EVERYWHERE = frozenset(
    {
        "/login/",
        "/logout/",
        "/language/",
        "/handoff/finish/",
        "/trouble/",
        "/.well-known/webauthn",
        "/api/session",
        "/api/csrf",
        "/api/openapi.json",
        "/healthz",
        "/readyz",
        "/metrics",
    }
)
#: The same for everything below.
EVERYWHERE_BELOW = ("/static/", "/brand/", "/api/doctor/", "/api/authz/", "/api/introspect")


def answers(site: Site, path: str) -> bool:
    """Whether the hub of this site answers ``path`` itself."""
    return is_primary(site) or path in EVERYWHERE or path.startswith(EVERYWHERE_BELOW)


def is_primary(site: Site) -> bool:
    """Whether people sign in at this site's hub and have their hub session there."""
    return site == primary()


def primary() -> Site:
    found: Site = settings.SSO_SITES.primary
    return found
