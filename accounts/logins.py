"""Signing in by steps: a password, a passkey or a mailed code, then a second factor where the person has one.

django-allauth runs the steps (``allauth.account.stages``); what a step proved is kept in the unfinished hub
session. The last step ends in ``AccountAdapter.login``, which begins the sign-in.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from allauth.account.authentication import get_authentication_records
from allauth.account.internal.flows.login import AUTHENTICATION_METHODS_SESSION_KEY, perform_password_login
from allauth.account.models import EmailAddress, Login

from accounts import new_browsers, preferences
from sso import audit, sign_ins

if TYPE_CHECKING:
    from accounts.models import User
    from sso.requests import HubRequest

#: Where the unfinished session keeps "keep me signed in" until the last step.
REMEMBER = "sso_remember"
#: What of the unfinished session goes on into the signed-in one: which methods were used, and when.
CARRIED = (AUTHENTICATION_METHODS_SESSION_KEY, "account_authentication_methods_user")

#: How RFC 8176 calls the methods that allauth records.
_AMR = {
    "password": ("pwd",),
    "code": ("email",),
    "totp": ("otp",),
    "recovery_codes": ("otp",),
    "webauthn": ("hwk",),
}


def begin(request: HubRequest, user: User, *, remember: bool, address: str) -> str:
    """The password was right: sign in, or keep what was proved until the next step.

    Returns where the browser goes: ``address`` (a resolved return address), or the next step's page. Raises
    what ``sign_ins.start`` raises.
    """
    prepare(request, user, remember=remember)
    login = Login(user=user, redirect_url=address)
    return str(perform_password_login(request, {"username": user.username}, login)["Location"])


def prepare(request: HubRequest, user: User, *, remember: bool) -> None:
    """Before the first step."""
    vouch_for_address(user)
    request.session[REMEMBER] = remember


def count_only_the_last_proof(request: HubRequest, user: User) -> None:
    """A sign-in begins with what was proved just now.

    What this browser proved for an earlier one stands in for no factor of this one.
    """
    if records := get_authentication_records(request, user):
        request.session[AUTHENTICATION_METHODS_SESSION_KEY] = records[-1:]


def finish(request: HubRequest, user: User) -> None:
    """Every step is done: begin the sign-in. What was proved goes on with it, and what follows is in their language."""
    preferences.use_those_of(user, request)
    records = get_authentication_records(request, user)
    carried = {name: request.session[name] for name in CARRIED if name in request.session}
    remember = bool(request.session.get(REMEMBER))
    amr = amr_of(records)
    sign_ins.start(request, user, remember=remember, amr=amr, carry=carried)
    news = new_browsers.notice(request, user)
    audit.record(
        audit.Event.SIGNED_IN,
        request=request,
        subject=user,
        sid=sid_of(request),
        amr="+".join(amr),
        remember=remember,
        new_device=news,
        site=request.site.domain,
    )


def survive_password_change(request: HubRequest, user: User) -> None:
    """Every sign-in made with the old password has ended; this browser's goes on as a new one.

    Its methods stay what they were; its time is now, since who changes a password confirmed just before.
    """
    before = request.session.sign_in
    if before is None:
        return
    carried = {name: request.session[name] for name in CARRIED if name in request.session}
    sign_ins.start(request, user, remember=before.remember, amr=before.amr, carry=carried)
    audit.record(audit.Event.SIGN_IN_RENEWED, subject=user, sid=sid_of(request), by="password")


def sid_of(request: HubRequest) -> str:
    """The public id of the sign-in that has just begun."""
    return request.session.sign_in.sid if request.session.sign_in else ""


def amr_of(records: Iterable[Mapping[str, Any]]) -> tuple[str, ...]:
    """The methods of a sign-in as apps are told them (RFC 8176), in order of use.

    A passkey alone proves the device and the person (user verification is required): that is ``mfa`` too.
    """
    methods: list[str] = []
    for record in records:
        kind = record["type"] if record["method"] == "mfa" else record["method"]
        methods += _AMR.get(kind, ())
        methods += ("mfa",) if record.get("passwordless") else ()
    if "mfa" not in methods and len({"pwd", "email"} & set(methods)) and {"otp", "hwk"} & set(methods):
        methods.append("mfa")
    return tuple(dict.fromkeys(methods)) or ("pwd",)


def vouch_for_address(user: User) -> None:
    """People whom an administrator created have the address the administrator gave: it is taken as verified."""
    if user.email and not EmailAddress.objects.filter(user=user).exists():
        address = EmailAddress(user=user, email=user.email, primary=True, verified=True)
        EmailAddress.objects.bulk_create([address], ignore_conflicts=True)  # two first sign-ins at once
