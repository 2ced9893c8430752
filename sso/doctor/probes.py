"""Three cookies that do nothing but come back, or not: which of them do tells what the browser lets through.

One for the hub's host, one for the whole domain like the shared cookie, one for the whole domain with
``SameSite=None``. One random value, that nobody looks up anywhere.
"""

from __future__ import annotations

import re
import secrets
import time
from typing import Final

from django.conf import settings
from django.http import HttpResponseBase
from sso_client.cookies import CookieReader

from sso.doctor.observations import Arrived, Cookie
from sso.requests import HubRequest

HOST, DOMAIN, FAR = "__Host-sso_probe", "__Secure-sso_probe", "__Secure-sso_probe_far"
#: Seconds: somebody has to go to the app's page and back.
LIFE: Final = 600

_SHAPE = re.compile(r"[A-Za-z0-9_-]{22}")
_host, _domain, _far = (CookieReader(name, _SHAPE) for name in (HOST, DOMAIN, FAR))
_shared = CookieReader(settings.SSO_COOKIE_NAME)
_shared_anyhow = CookieReader(settings.SSO_COOKIE_NAME, re.compile(r"[^;]*"))


def set_on(response: HttpResponseBase, domain: str) -> None:
    """Send the three along with this answer."""
    value = secrets.token_urlsafe(16)
    for name, where, same_site in ((HOST, None, "Lax"), (DOMAIN, domain, "Lax"), (FAR, domain, "None")):
        response.set_cookie(
            name,
            value,
            max_age=LIFE,
            domain=where,
            path="/",
            secure=True,
            httponly=True,
            samesite=same_site,  # type: ignore[arg-type]
        )


def arrived(request: HubRequest) -> Arrived:
    """What of this request got here."""
    header = request.META.get("HTTP_COOKIE", "")
    return Arrived(
        origin=request.headers.get("Origin", "")[:300],
        scheme=request.scheme or "http",
        session=_kind(header),
        host_probe=bool(_host.values(header)),
        domain_probe=bool(_domain.values(header)),
        far_probe=bool(_far.values(header)),
        cookie_bytes=len(header),
        time=time.time() * 1000,
    )


def _kind(header: str) -> Cookie:
    """What stands under the shared cookie's name."""
    values = len(_shared.values(header))
    if values:
        return "one" if values == 1 else "several"
    return "malformed" if any(_shared_anyhow.values(header)) else "none"
