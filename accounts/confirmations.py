"""Whoever confirms that it is them goes on under new cookies; those of before are worth nothing (ASVS 5.0 7.2.4)."""

from __future__ import annotations

from typing import Any

from allauth.account.signals import authentication_step_completed
from django.dispatch import receiver

from accounts.logins import CARRIED, sid_of
from accounts.models import User
from sso import audit, sign_ins
from sso.requests import HubRequest


@receiver(authentication_step_completed)
def renew(request: HubRequest, user: User, reauthenticated: bool = False, **_: Any) -> None:
    """A new sign-in in the place of this one, made in the same way and remembered as long.

    Raises what ``sign_ins.start`` raises.
    """
    before = request.session.sign_in
    if not reauthenticated or before is None:
        return
    carried = {name: request.session[name] for name in CARRIED if name in request.session}
    sign_ins.start(request, user, remember=before.remember, amr=before.amr, carry=carried)
    audit.record(audit.Event.SIGN_IN_RENEWED, subject=user, sid=sid_of(request), by="confirmation")
