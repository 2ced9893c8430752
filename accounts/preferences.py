"""In which language and time zone somebody reads: by their own setting, else as this browser says."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from django.conf import settings
from django.db import DatabaseError, InterfaceError
from django.http import HttpRequest, HttpResponseBase
from django.utils import timezone, translation
from django.utils.cache import patch_vary_headers
from django.utils.functional import SimpleLazyObject
from django.utils.translation.trans_real import parse_accept_lang_header
from sso_client.errors import StoreUnavailable

from accounts.locales import known_language, known_zone
from sso.api.errors import is_for_machines
from sso.middleware.cookies import LANGUAGE, ZONE

if TYPE_CHECKING:
    from accounts.models import User

GetResponse = Callable[[HttpRequest], HttpResponseBase]

_OUTAGES = (StoreUnavailable, DatabaseError, InterfaceError)


def language_of_browser(request: HttpRequest) -> str:
    """What was chosen in it, else what it asks for."""
    return known_language(LANGUAGE.read(_cookies(request))) or language_asked_for(request)


def language_asked_for(request: HttpRequest) -> str:
    """The best of ``Accept-Language`` (RFC 9110 §12.5.4) that we have, else the default."""
    wanted = parse_accept_lang_header(request.META.get("HTTP_ACCEPT_LANGUAGE", ""))
    spoken = (_spoken(code) for code, _quality in wanted)
    return next(filter(None, spoken), settings.LANGUAGE_CODE)


def _spoken(code: str) -> str:
    """The language of ours that serves somebody who asks for ``code`` (``de-AT``: ``de``); empty: none."""
    try:
        return translation.get_supported_language_variant(code)
    except (LookupError, ValueError):
        return settings.LANGUAGE_CODE if code == "*" else ""


def zone_of_browser(request: HttpRequest) -> str:
    """What ``zone.js`` told; empty when that is nothing, or no zone."""
    return known_zone(ZONE.read(_cookies(request)))


def _cookies(request: HttpRequest) -> str:
    return str(request.META.get("HTTP_COOKIE", ""))


def use(language: str, zone: str) -> None:
    """For what is left of this request; ``zone`` may be empty: UTC."""
    translation.activate(language)
    if zone:
        timezone.activate(ZoneInfo(zone))
    else:
        timezone.deactivate()


def use_those_of(user: User, request: HttpRequest) -> None:
    """From the moment when it is known who this is, or when they changed their settings."""
    language = known_language(user.language) or language_of_browser(request)
    use(language, known_zone(user.time_zone) or zone_of_browser(request))


class LanguageMiddleware:
    """The browser's language and zone, for everything further in and for its refusals and error pages.

    Nothing of it is left when the answer is made: the next request of this thread begins afresh.
    """

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        with translation.override(settings.LANGUAGE_CODE), timezone.override(None):
            use(language_of_browser(request), zone_of_browser(request))
            response = self.get_response(request)
            if _is_page(request, response):
                response.headers.setdefault("Content-Language", translation.get_language())
                patch_vary_headers(response, ["Accept-Language", "Cookie"])
        return response


def _is_page(request: HttpRequest, response: HttpResponseBase) -> bool:
    """Files and answers to programs are the same in every language."""
    return response.headers.get("Content-Type", "").startswith("text/html") and not is_for_machines(request)


class PersonalMiddleware:
    """Somebody's own settings go before the browser's.

    When it cannot be told who is asking, the browser's hold; the view that needs to know meets the same failure,
    without waiting for it a second time.
    """

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if settings.SESSION_COOKIE_NAME in request.COOKIES and not is_for_machines(request):
            _prefer_those_of_the_person(request)
        return self.get_response(request)


def _prefer_those_of_the_person(request: HttpRequest) -> None:
    try:
        if request.user.is_authenticated:
            use_those_of(request.user, request)
    except _OUTAGES as error:
        failure = error

        def fail() -> User:
            raise failure

        request.user = SimpleLazyObject(fail)  # type: ignore[assignment]
