"""The doctor's endpoints for pages of apps: what of their requests arrived, and what their report comes to."""

from __future__ import annotations

from django.core.exceptions import RequestDataTooBig
from django.http import HttpResponse, UnreadablePostError

from sso.api.bodies import json
from sso.api.errors import BodyRefused
from sso.api.views import Endpoint
from sso.doctor import judging, probes
from sso.doctor.observations import FindingBody, FindingsBody, read_app_page
from sso.edge.errors import BodyTooLarge
from sso.errors import UnsupportedMediaType
from sso.requests import HubRequest

#: A page sends the first without a preflight, which is what may be broken.
TYPES = ("text/plain", "application/json")


class Open(Endpoint):
    """For pages nobody registered, too: it knows no visitor and changes nothing, so it needs no CSRF token."""

    csrf_exempt = True


def seen(request: HubRequest) -> HttpResponse:
    """``GET /api/doctor/seen`` — what of this request arrived; no value of any cookie."""
    return json(probes.arrived(request))


def judge(request: HubRequest) -> HttpResponse:
    """``POST /api/doctor/judge`` — what a page of an app saw, and what that means."""
    if request.content_type not in TYPES:
        raise UnsupportedMediaType(f"content type {str(request.content_type)[:80]!r}")
    try:
        page = read_app_page(request.body)
    except RequestDataTooBig:
        raise BodyTooLarge from None
    except UnreadablePostError:
        raise BodyRefused("the body broke off.") from None
    except ValueError as error:
        raise BodyRefused(str(error)) from None
    found = judging.of_report(request.site, page)
    answer = json(FindingsBody(tuple(FindingBody(**one.as_json()) for one in found)))
    # Without credentials, whoever asks: it says nothing of anybody.
    answer["Access-Control-Allow-Origin"] = "*"
    return answer
