"""Cookies at the hub: read strictly, set and cleared in one place.

``request.COOKIES`` holds only our own cookies, each read by ``sso_client``'s strict reader from the raw
header: Django's own reader strips Unicode spaces from names and lets the last duplicate win, so a sibling
host could shadow ours.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from http.cookies import Morsel
from typing import Any, cast

from django.conf import settings
from django.contrib.sessions.backends.base import UpdateError
from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponseBase
from django.utils.cache import patch_vary_headers
from django.utils.functional import SimpleLazyObject
from sso_client.cookies import CookieReader
from sso_client.errors import StoreUnavailable

from accounts import bounces, throttle
from sso import audit, shared_sessions, sign_ins
from sso.error_responses import respond
from sso.errors import SessionEnded, TooManyAttempts, TryAgain
from sso.handoff import hubs
from sso.hub_sessions import SessionStore
from sso.keys import fingerprint
from sso.requests import HubRequest

GetResponse = Callable[[HttpRequest], HttpResponseBase]

HUB = CookieReader(settings.SESSION_COOKIE_NAME)
SHARED = CookieReader(settings.SSO_COOKIE_NAME)
CSRF = CookieReader(settings.CSRF_COOKIE_NAME, re.compile(r"[A-Za-z0-9]{32}(?:[A-Za-z0-9]{32})?"))
LANGUAGE = CookieReader(settings.LANGUAGE_COOKIE_NAME, re.compile(r"[A-Za-z-]{2,15}"))
#: Set by ``zone.js``: the time zone of this browser, as the IANA database calls it.
ZONE = CookieReader("__Host-sso_zone", re.compile(r"[A-Za-z0-9_+/-]{1,64}"))
TRUST = CookieReader(settings.MFA_TRUST_COOKIE_NAME, re.compile(r"[A-Za-z0-9_=:.-]{1,2048}"))
READERS = {reader.name: reader for reader in (HUB, SHARED, CSRF, LANGUAGE, ZONE, TRUST)}


class CookiesMiddleware:
    """Reads our cookies strictly; opens the hub session; puts both session cookies on the response.

    A shared cookie that is lost, expired or not this sign-in's is renewed silently while the hub session
    lives. An answer of 500 or more changes no cookie: an outage signs nobody out.
    """

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        hub_request = cast(HubRequest, request)
        header = request.META.get("HTTP_COOKIE", "")
        read_cookies(hub_request, header)
        response = self.get_response(request)
        if response.status_code >= 500:
            return response
        try:
            return self._finish(hub_request, response)
        except (StoreUnavailable, OperationalError, InterfaceError) as error:
            return respond(request, TryAgain(str(error)))
        except UpdateError:
            return respond(request, SessionEnded())
        except TooManyAttempts as error:
            return respond(request, error)

    def _finish(self, request: HubRequest, response: HttpResponseBase) -> HttpResponseBase:
        session = request.session
        if request.signed_out:
            clear_cookies(request, response)
            return response
        if session.modified and not session.is_empty():
            if session.begins_unfinished:
                throttle.admit_beginning(request.client_address)
            session.save()
        if session.sign_in is not None and request.shared_cookie_to_set is None:
            renew_if_needed(request)
        set_cookies(request, response)
        if session.accessed:
            personal(response)
        return response


def personal(response: HttpResponseBase) -> None:
    """What was made by looking at a session is one person's: stored by nobody, unless the view knows better."""
    patch_vary_headers(response, ["Cookie"])
    response.headers.setdefault("Cache-Control", "no-store")


def read_cookies(request: HubRequest, header: str) -> None:
    """Fill ``request.COOKIES``, ``request.session`` and what the flows look at."""
    values = {name: reader.read(header) for name, reader in READERS.items()}
    request.COOKIES = {name: value for name, value in values.items() if value is not None}
    # People's hub session is at the primary hub: no cookie opens one at another.
    request.session = SessionStore(values[HUB.name] if hubs.is_primary(request.site) else None)
    request.shared_cookie_value = values[SHARED.name]
    request.shared_cookie_to_set = None
    request.signed_out = False
    request.shared_cookie_conflict = len(SHARED.values(header)) > 1
    state = SimpleLazyObject(lambda: "conflict" if request.shared_cookie_conflict else _state(request))
    request.shared_cookie_state = cast(str, state)


def _state(request: HubRequest) -> str:
    """Whether the shared cookie that came is the living one of this browser's sign-in."""
    if request.shared_cookie_value is None:
        return "absent"
    if not hubs.is_primary(request.site):
        session = shared_sessions.read(request.shared_cookie_value)
        return "ok" if session is not None and session.site == request.site.domain else "foreign"
    sign_in = sign_ins.of_request(request)
    cookie_hash = fingerprint(request.shared_cookie_value)
    mine = sign_in and any(
        key.cookie_hash == cookie_hash and key.site == request.site.domain for key in sign_in.shared
    )
    return "ok" if mine and cookie_hash in request.session.lives else "foreign"


def renew_if_needed(request: HubRequest) -> None:
    if request.shared_cookie_state != "ok":
        request.shared_cookie_to_set = sign_ins.renew_shared(request)


# -- the Set-Cookie lines


def set_cookies(request: HubRequest, response: HttpResponseBase) -> None:
    session = request.session
    key = session.session_key
    if key is not None and key != session.presented and not session.is_empty():
        sign_in = session.sign_in
        _put(response, HUB.name, key, max_age=sign_in.remaining() if sign_in and sign_in.remember else None)
    if request.shared_cookie_conflict:
        audit.record_seldom(
            audit.Event.COOKIE_CONFLICT,
            of=request.client_address,
            outcome=audit.REFUSED,
            request=request,
            cookie=SHARED.name,
        )
        _expire_variants(request, response)
    if (cookie := request.shared_cookie_to_set) is not None:
        _put(response, SHARED.name, cookie.value, max_age=cookie.max_age, domain=cookie.domain)


def clear_cookies(request: HubRequest, response: HttpResponseBase) -> None:
    """After a sign-out: the hub cookie, and the shared cookie in every variant we can name."""
    _put(response, HUB.name, "", max_age=0)
    _expire_variants(request, response)
    bounces.forget_on(response)  # what comes back from now on is counted anew


def _expire_variants(request: HubRequest, response: HttpResponseBase) -> None:
    """Host-only, each domain from the hub's host up to the site, and those of older configurations."""
    for domain in (None, *cookie_domains(request.site.hub.host, request.site.domain)):
        _put(response, SHARED.name, "", max_age=0, domain=domain)


def cookie_domains(host: str, site: str) -> list[str]:
    """``a.b.example.com``, ``b.example.com``, ``example.com``, then the older cookie domains that cover host."""
    labels = host.split(".")
    domains = [".".join(labels[i:]) for i in range(len(labels)) if len(labels) - i >= site.count(".") + 1]
    older = [d for d in settings.SSO_OLDER_COOKIE_DOMAINS if host == d or host.endswith("." + d)]
    return list(dict.fromkeys([*domains, *older]))


def _put(
    response: HttpResponseBase, name: str, value: str, *, max_age: int | None, domain: str | None = None
) -> None:
    """One ``Set-Cookie`` line; several of one name may stand on a response, for several domains."""
    morsel: Morsel[Any] = Morsel()
    morsel.set(name, value, value)
    morsel["path"], morsel["samesite"] = "/", "Lax"
    morsel["secure"] = morsel["httponly"] = True
    if domain is not None:
        morsel["domain"] = domain
    if max_age is not None:
        morsel["max-age"] = max_age
    if max_age == 0:
        morsel["expires"] = "Thu, 01 Jan 1970 00:00:00 GMT"
    # The jar's own keys must differ; a Morsel prints the name it was given.
    response.cookies[f"{name} {domain or ''}"] = morsel
