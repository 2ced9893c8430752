"""The language chooser, and which way the page's language is written."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from django import template
from django.template.context import Context
from django.utils.translation import get_language, get_language_bidi
from sso_client.errors import StoreUnavailable

from accounts import destinations
from accounts.locales import by_completeness
from sso.errors import SSOError
from sso.requests import HubRequest
from sso.return_addresses import NAMES

register = template.Library()

#: What a page needs to be shown again, beside the way back: the secret of a mailed link, what an app demands.
_NEEDED_AGAIN = ("key", "max_age", "amr")


@register.simple_tag
def direction() -> str:
    return "rtl" if get_language_bidi() else "ltr"


@register.inclusion_tag("accounts/language_chooser.html", takes_context=True)
def language_chooser(context: Context) -> dict[str, Any]:
    """For whoever is not signed in: people choose theirs in the profile. Error pages, without a request, have none."""
    request, user = context.get("request"), context.get("user")
    if request is None or user is None or user.is_authenticated:
        return {}
    complete, partial = by_completeness()
    return {
        "complete": complete,
        "partial": partial,
        "current": get_language(),
        "back": _this_page(request),
        "csrf_token": context.get("csrf_token"),
    }


def _this_page(request: HubRequest) -> str:
    """The address that shows this page by GET. Of a return address only the rebuilt form stands in it, or nothing."""
    params = request.POST if request.method == "POST" else request.GET
    again = {name: params[name] for name in _NEEDED_AGAIN if params.get(name)}
    try:
        if destination := destinations.read(request, params):
            again |= {name: destination.address for name in NAMES if params.get(name)}
    except (SSOError, StoreUnavailable):
        pass
    return f"{request.path}?{urlencode(again)}" if again else request.path
