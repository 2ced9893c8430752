"""What a report from an app's page comes to, with what this server knows and can try itself."""

from __future__ import annotations

from django.conf import settings
from django.core.cache import cache

from sso import registry_mirror
from sso.doctor import calls
from sso.doctor.findings import Finding, unique
from sso.doctor.observations import AppPage
from sso.doctor.rules import Place, of_app_page
from sso.sites import Site

#: Seconds for which an answer to "how does the hub look from outside" is good.
GOOD_FOR = 30


def of_report(site: Site, page: AppPage) -> list[Finding]:
    """Raises ``StoreUnavailable`` when the registry is not known."""
    place = Place(settings.SSO_SITES, site, settings.SSO_COOKIE_NAME, page.origin)
    registered = registry_mirror.current().app_of_origin(page.origin) is not None
    found = of_app_page(place, page, registered=registered, ask_ourselves=lambda: _ask(place))
    return unique(list(found))


def _ask(place: Place) -> list[Finding]:
    """The hub as seen from outside for a registered origin; asked once in a while, however many want to know."""
    key = f"doctor:hub:{place.site.domain}:{place.origin}"
    known = cache.get(key)
    if known is None:
        known = [(one.code, one.facts) for one in calls.of_hub(place) if one.code != "hub_not_answering"]
        cache.set(key, known, GOOD_FOR)
    return [Finding(code, facts) for code, facts in known]
