"""What administrators do to people, for one and for many."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from allauth.mfa.models import Authenticator
from django.contrib import messages
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from accounts.mail import mailing
from accounts.recovery import RESET
from sso import audit, sign_ins
from sso.admin.pages import admin_page

if TYPE_CHECKING:
    from django.db.models import QuerySet

    from accounts.models import User

#: What the page that asks sends back.
CONFIRMED = "confirmed"
#: People whom one act of many may touch.
MOST = 500


def send_reset_link(request: HttpRequest, person: User) -> None:
    """Nobody but the person sees the link."""
    mailing.write(RESET, person.email, {})
    audit.record(audit.Event.PASSWORD_RESET_ASKED, request=request, subject=person, by="admin")


def remove_factors(request: HttpRequest, person: User, reason: str) -> int:
    """Every second factor, passkey and recovery code; their sessions end. Returns how many there were."""
    from allauth.mfa.adapter import get_adapter

    with transaction.atomic():
        factors = list(Authenticator.objects.filter(user=person))
        Authenticator.objects.filter(user=person).delete()
    for factor in factors:
        audit.record(
            audit.Event.FACTOR_REMOVED, request=request, subject=person, kind=str(factor.type), reason=reason
        )
    sign_ins.end_all(str(person.pk))
    if factors:
        get_adapter().send_notification_mail("mfa/email/totp_deactivated", person)
    return len(factors)


# -- for many: a page that asks, then the act


def set_active(
    admin: Any, request: HttpRequest, people: QuerySet[User], *, active: bool
) -> HttpResponse | None:
    chosen = _touchable(admin, request, people)
    if not active and CONFIRMED not in request.POST:
        return _ask(
            request,
            chosen,
            "disable",
            ngettext("Disable %(n)d person?", "Disable %(n)d people?", len(chosen)),
            _("Disable"),
        )
    for person in chosen:
        person.is_active = active
        person.save()
    done = ngettext("%(n)d person is changed.", "%(n)d people are changed.", len(chosen)) % {"n": len(chosen)}
    messages.success(request, done)
    return None


def end_sessions(_admin: Any, request: HttpRequest, people: QuerySet[User]) -> HttpResponse | None:
    chosen = list(people[:MOST])
    if CONFIRMED not in request.POST:
        return _ask(
            request,
            chosen,
            "end_sessions",
            ngettext("End all sessions of %(n)d person?", "End all sessions of %(n)d people?", len(chosen)),
            _("End them"),
        )
    ended = sum(sign_ins.end_all(str(person.pk)) for person in chosen)
    messages.success(
        request, ngettext("%(n)d sign-in has ended.", "%(n)d sign-ins have ended.", ended) % {"n": ended}
    )
    return None


def send_reset_links(admin: Any, request: HttpRequest, people: QuerySet[User]) -> HttpResponse | None:
    chosen = [person for person in _touchable(admin, request, people) if person.is_active]
    if CONFIRMED not in request.POST:
        return _ask(
            request,
            chosen,
            "send_reset",
            ngettext(
                "Send %(n)d person a link to set a password?",
                "Send %(n)d people a link to set a password?",
                len(chosen),
            ),
            _("Send"),
        )
    for person in chosen:
        send_reset_link(request, person)
    messages.success(
        request,
        ngettext("%(n)d link is on its way.", "%(n)d links are on their way.", len(chosen))
        % {"n": len(chosen)},
    )
    return None


def _touchable(admin: Any, request: HttpRequest, people: Iterable[User]) -> list[User]:
    """Those whom this administrator may change; nobody disables themselves by mistake."""
    chosen = [p for p in people if admin.has_change_permission(request, p) and p.pk != request.user.pk][:MOST]
    if len(chosen) < len(list(people)):
        messages.warning(
            request,
            _(
                "Some were left out: yourself, administrators whom only a superuser changes, or too many at once."
            ),
        )
    return chosen


def _ask(request: HttpRequest, people: list[User], act: str, question: str, button: str) -> HttpResponse:
    context = {"people": people, "act": act, "button": button, "confirmed": CONFIRMED}
    return admin_page(request, "sso_admin/confirm_people.html", context, title=question % {"n": len(people)})
