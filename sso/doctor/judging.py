"""What a report from an app's page comes to, with what this server knows and can try itself."""

from __future__ import annotations

import msgspec
from django.conf import settings

from sso import registry_mirror
from sso.doctor import calls
from sso.doctor.findings import Finding, unique
from sso.doctor.observations import AppPage
from sso.doctor.rules import Place, of_app_page
from sso.errors import TooManyAttempts
from sso.redis import answering, get, keys
from sso.sites import Site

#: Seconds for which an answer to "how does the hub look from outside" is good.
GOOD_FOR = 30


def of_report(site: Site, page: AppPage) -> list[Finding]:
    """Raises ``StoreUnavailable`` when the registry is not known, ``TooManyAttempts`` when others ask the same."""
    place = Place(settings.SSO_SITES, site, settings.SSO_COOKIE_NAME, page.origin)
    registered = registry_mirror.current().app_of_origin(page.origin) is not None
    found = of_app_page(place, page, registered=registered, ask_ourselves=lambda: _ask(place))
    return unique(list(found))


def _ask(place: Place) -> list[Finding]:
    """The hub as seen from outside for a registered origin; asked once in a while, however many want to know.

    Raises ``TooManyAttempts`` while it is being asked for somebody else.
    """
    key = keys().doctors(f"hub:{place.site.domain}:{place.origin}")
    if (raw := get(key, "a look of the doctor")) is not None:
        return [Finding(code, facts) for code, facts in msgspec.json.decode(raw)]
    with answering() as redis:
        if not redis.set(f"{key}:asked", 1, nx=True, ex=GOOD_FOR):
            raise TooManyAttempts("the hub is being looked at already", retry_after=5)
    found = calls.of_hub(place)
    with answering() as redis:
        redis.set(key, msgspec.json.encode([(one.code, one.facts) for one in found]), ex=GOOD_FOR)
    return found
