"""``POST /language/``: the language of this browser, chosen without being signed in."""

from __future__ import annotations

from django.conf import settings
from django.http import HttpResponseBase

from accounts import destinations
from accounts.locales import languages
from accounts.pages import answers, see_other
from sso.errors import BadRequest, ReturnAddressRefused
from sso.requests import HubRequest

#: Seconds. Browsers keep no cookie longer than 400 days.
KEPT = 365 * 86_400


@answers("POST")
def choose(request: HubRequest) -> HttpResponseBase:
    """Keep ``language`` in a cookie of the hub and go ``back`` to the page it was chosen on."""
    language = request.POST.get("language", "")
    if language not in languages():
        raise BadRequest("a language that is not offered")
    response = see_other(_back(request))
    keep(response, language, KEPT)
    return response


def keep(response: HttpResponseBase, language: str, seconds: int) -> None:
    """With no language and 0 seconds the browser forgets its choice."""
    response.set_cookie(
        settings.LANGUAGE_COOKIE_NAME,
        language,
        max_age=seconds,
        path="/",
        secure=True,
        httponly=True,
        samesite="Lax",
    )


def _back(request: HubRequest) -> str:
    """A page of this hub and nowhere else: whoever chooses a language leads nobody to an app."""
    try:
        destination = destinations.of(request, request.POST.get("back", ""))
    except ReturnAddressRefused:
        return "/"
    return destination.address if destination.app is None else "/"
