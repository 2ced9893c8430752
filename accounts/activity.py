"""``/account/security/``: what lately happened to one's own account, in words, and what to do when it was not them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Final

from django.contrib.auth.decorators import login_required
from django.http import HttpResponseBase
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from accounts import words
from accounts.pages import answers, page
from sso.audit import Event, Outcome, search
from sso.errors import BadRequest
from sso.requests import HubRequest

if TYPE_CHECKING:
    from django.utils.functional import _StrPromise

    from sso.audit.models import AuditEvent

#: Events a person understands; others are for administrators.
WORDS: Final[dict[Event, _StrPromise]] = {
    Event.SIGNED_IN: _("Signed in"),
    Event.SIGN_IN_REFUSED: _("A sign-in was refused"),
    Event.SECOND_FACTOR_REFUSED: _("A second step was wrong"),
    Event.THROTTLED: _("Too many tries: signing in was paused"),
    Event.SIGN_IN_CODE_ASKED: _("A code to sign in was asked for"),
    Event.BROWSER_TRUSTED: _("A browser was trusted to skip the second step"),
    Event.SIGNED_OUT: _("Signed out"),
    Event.SIGN_IN_ENDED: _("Signed out from elsewhere"),
    Event.IMPERSONATION_BEGAN: _("An administrator signed in as you, for support"),
    Event.PASSWORD_CHANGED: _("Password changed"),
    Event.PASSWORD_RESET_ASKED: _("A link to set a new password was asked for"),
    Event.PASSWORD_RESET_SENT: _("A link to set a new password was sent to you"),
    Event.PASSWORD_RESET: _("Password set with a link from a mail"),
    Event.EMAIL_CHANGE_ASKED: _("A new e-mail address was asked for"),
    Event.EMAIL_CHANGED: _("E-mail address changed"),
    Event.EMAIL_CHANGE_UNDONE: _("The change of the e-mail address was undone"),
    Event.FACTOR_ADDED: _("A second step was added"),
    Event.FACTOR_REMOVED: _("A second step was removed"),
    Event.PASSKEY_ADDED: _("A passkey was added"),
    Event.PASSKEY_REMOVED: _("A passkey was removed"),
    Event.RECOVERY_CODES_MADE: _("New recovery codes were made"),
    Event.RECOVERY_CODE_USED: _("A recovery code was used"),
    Event.PERSON_CREATED: _("Account made"),
    Event.PERSON_CHANGED: _("Details of the account changed"),
    Event.PERSON_DISABLED: _("Account switched off"),
    Event.PERSON_ENABLED: _("Account switched on"),
    Event.GROUPS_CHANGED: _("Groups changed"),
    Event.PRIVILEGES_CHANGED: _("Rights changed"),
}
NAMES: Final = tuple(event.value for event in WORDS)
#: Events on one page, and on the first page of the account.
SIZE, FEW = 25, 3


@dataclass(frozen=True, slots=True)
class Happening:
    """One event as the person reads it."""

    what: str
    when: datetime
    #: Device and address, as far as they are known.
    device: str
    address: str
    by_somebody_else: bool
    refused: bool
    news: bool


def of_user(
    user_id: object, *, before: int | None = None, size: int = SIZE
) -> tuple[list[Happening], int | None]:
    """The newest happenings, or those before an event, and where the next page goes on."""
    found = search.of_person(str(user_id), events=NAMES, before=before, size=size)
    return [_happening(event) for event in found.events], found.older


def _happening(event: AuditEvent) -> Happening:
    others = event.actor_id not in ("", "system", event.subject_id)
    return Happening(
        what=str(WORDS[Event(event.event)]),
        when=event.time,
        # Where an administrator sits is not theirs to know.
        device="" if others else words.noted_device(event.device),
        address="" if others else event.address,
        by_somebody_else=others,
        refused=event.outcome != Outcome.DONE,
        news=bool(event.details.get("new_device")),
    )


@answers("GET")
@login_required
def security(request: HubRequest) -> HttpResponseBase:
    """``GET /account/security/`` — the newest first; ``?before=`` an event's number goes on."""
    happenings, older = of_user(request.user.pk, before=_before(request))
    return page(request, "accounts/security.html", {"happenings": happenings, "older": older})


def _before(request: HubRequest) -> int | None:
    text = request.GET.get("before", "")
    if not text:
        return None
    if not (text.isascii() and text.isdecimal() and len(text) <= 18):
        raise BadRequest(gettext("before is not a number"))
    return int(text)
