"""A walk through every page that people can get: signing in, what refuses them, their account."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch
from urllib.parse import urlencode

from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal.auth import TOTP
from django.contrib.auth.hashers import make_password
from django.core import signing
from django.http import HttpResponse
from django.test import override_settings

from accounts.models import User
from sso import errors
from sso.error_responses import respond
from sso.models import RelyingApp
from sso.registration import register
from sso.requests import HubRequest
from tests.support.admins import PASSWORD, SECRET, administrator, signed_in_with_code
from tests.support.mailbox import delivered, link
from tests.support.oidc import OidcApp
from tests.support.page_visitor import Visitor
from tests.support.security_key import SecurityKey
from tests.support.tour import Tour
from tests.test_factor_codes import steady_code
from tests.test_freshness import CODE

WIKI = "https://wiki.example.com"
HUB = "https://auth.example.com"
WRONG = "not the password at all"
#: Good beside a second factor only.
SHORT = "v7Qm2xKp"


def somebody(name: str, *factors: str, **fields: Any) -> User:
    user = User.objects.create_user(
        name, f"{name}@example.com", PASSWORD, name=f"{name.title()} Lovelace", **fields
    )
    if "totp" in factors:
        TOTP.activate(user, SECRET)
    if "key" in factors:
        SecurityKey("example.com", HUB).belongs_to(user)
    return user


def signed_in(name: str, address: str = "203.0.113.7") -> Visitor:
    visitor = Visitor(address=address)
    assert visitor.sign_in(name, PASSWORD).status_code == 303
    return visitor


@contextmanager
def always_fresh() -> Iterator[None]:
    """A code of an app counts once, and its next one is half a minute away: nobody is asked to prove it again."""
    by_allauth = "allauth.account.internal.flows.reauthentication.did_recently_reauthenticate"
    with (
        patch("accounts.borrowed.is_fresh", lambda request: request.user.is_authenticated),
        patch("accounts.freshness.is_fresh", lambda request: request.user.is_authenticated),
        patch(by_allauth, lambda _request: True),
    ):
        yield


def mailed(part: str) -> str:
    """The link that holds ``part`` in the last mail that has one."""
    return link([letter for letter in delivered() if part in str(letter.body)][-1], part)


def walk(tour: Tour) -> None:
    register(RelyingApp(name="wiki", title="The wiki", origins=[WIKI]))
    register(
        RelyingApp(name="vault", title="The vault", origins=["https://vault.example.com"], groups=["keepers"])
    )
    for part in (
        signing_in,
        second_steps,
        forgetting,
        joining,
        leaving,
        refused,
        account,
        by_mail_alone,
        elsewhere,
    ):
        part(tour)
    with always_fresh():
        factors(tour)


def signing_in(tour: Tour) -> None:
    ada, nobody = somebody("ada"), Visitor()
    tour.look("sign in", nobody, "/login/")
    tour.look("sign in for an app", nobody, "/login/", rd=f"{WIKI}/")
    tour.send("sign in: nothing given", nobody, "/login/", {})
    tour.send("sign in: wrong", nobody, "/login/", {"username": "ada", "password": WRONG}, 401)
    for _ in range(30):
        answer = nobody.sign_in("zoe", WRONG)
    tour.keep("sign in: too often", nobody, "/login/", answer, 429)
    visitor = signed_in("ada", "203.0.113.8")
    tour.look("sign in: confirm", visitor, "/login/", rd=f"{WIKI}/", max_age="0")
    tour.look("sign in: stronger", visitor, "/login/", 403, rd=f"{WIKI}/", amr="otp")
    tour.look("return address refused", nobody, "/login/", 400, rd="https://evil.test/")
    tour.look("my apps", visitor, "/")
    for _ in range(3):
        answer = visitor.get("/login/", rd=f"{WIKI}/deep")
    tour.keep("an app sees no cookie", visitor, "/login/", answer, answer.status_code)
    tour.look("trouble", nobody, "/trouble/")
    tour.look("trouble at an app", visitor, "/trouble/", app="wiki")
    assert ada.is_active


def second_steps(tour: Tour) -> None:
    somebody("grace", "totp", "key")
    somebody("mail")
    visitor = Visitor(address="203.0.113.9")
    tour.look("code by mail", visitor, "/login/code/")
    visitor.send("/login/code/", {"email": "mail@example.com"})
    tour.look("code by mail: enter it", visitor, "/login/code/confirm/")
    tour.send("code by mail: wrong", visitor, "/login/code/confirm/", {"code": "AAAAAA"}, 200)
    other = Visitor(address="203.0.113.10")
    other.sign_in("grace", PASSWORD)
    tour.look("second factor", other, "/login/factor/")
    tour.send("second factor: wrong", other, "/login/factor/", {"code": "000000"}, 200)
    other.send("/login/factor/", {"code": steady_code()})
    tour.look("trust this browser", other, "/login/trust/")
    other.send("/login/trust/", {"action": "no"})
    for name, path in (("code", "factor/"), ("passkey", "passkey/")):
        tour.look(f"confirm by {name}", other, f"/account/reauthenticate/{path}")


def forgetting(tour: Tour) -> None:
    somebody("eve")
    visitor = Visitor(address="203.0.113.11")
    tour.look("reset", visitor, "/password/reset/")
    tour.send("reset: no address", visitor, "/password/reset/", {"email": "no"}, 200)
    visitor.send("/password/reset/", {"email": "eve@example.com"})
    tour.look("reset: look into your mailbox", visitor, "/password/reset/done/")
    address = mailed("/password/reset/link/")
    form = visitor.get(address)["Location"]
    tour.look("reset: new password", visitor, form)
    tour.send("reset: too short", visitor, form, {"password1": "short"}, 200)
    visitor.send(form, {"password1": "seven brave kettles sing"})
    tour.look("reset: changed", visitor, "/password/reset/changed/")
    tour.keep("reset: spent link", visitor, "/password/reset/link/", Visitor().get(address))


def joining(tour: Tour) -> None:
    visitor = Visitor(address="203.0.113.12")
    tour.look("registration is closed", visitor, "/signup/", 404)
    with override_settings(SSO_REGISTRATION="open"):
        tour.look("register", visitor, "/signup/")
        tour.send("register: no address", visitor, "/signup/", {"email": "no"})
        visitor.send("/signup/", {"email": "new@example.com"})
        tour.look("register: look into your mailbox", visitor, "/signup/sent/")
        address = mailed("/signup/finish/")
        key = address.partition("key=")[2]
        tour.keep("register: finish", visitor, "/signup/finish/", visitor.get(address))
        sent = {"key": key, "username": "ada", "password": "short"}
        tour.send("register: mistakes", visitor, "/signup/finish/", sent, form_of="/login/")
        tour.look("register: spent link", visitor, "/signup/finish/", 404, key="x")


def leaving(tour: Tour) -> None:
    visitor = signed_in("ada", "203.0.113.13")
    tour.look("sign out", visitor, "/logout/")
    tour.look("sign out of an app", visitor, "/logout/", rd=f"{WIKI}/")
    tour.look("signed out", Visitor(), "/logout/")


def refused(tour: Tour) -> None:
    """By their own code or status, as ``sso.error_responses`` answers them, and some in their places."""
    visitor = Visitor()
    tour.look("nothing there", visitor, "/nothing/here", 404)
    tour.keep("method", visitor, "/login/", visitor.client.put("/login/", secure=True), 405)
    tour.keep("form without cookies", visitor, "/login/", Visitor().post("/login/", {"username": "ada"}), 403)
    made = [
        errors.BadRequest(),
        errors.NotSignedIn(),
        errors.Forbidden(),
        errors.NotFound(),
        errors.MethodNotAllowed("GET"),
        errors.TooManyAttempts(),
        errors.InternalError(),
        errors.TryAgain(),
        errors.SessionEnded(),
        errors.OriginRefused(),
        errors.CsrfFailed(),
    ]
    for error in made:
        answer: HttpResponse = respond(HubRequest(), error)
        tour.keep(f"refused: {error.code}", visitor, "/login/", answer, error.status)


def account(tour: Tour) -> None:
    somebody("joan", language="")
    visitor = signed_in("joan", "203.0.113.14")
    tour.look("confirm by password", visitor, "/account/reauthenticate/")
    tour.send("confirm by password: wrong", visitor, "/account/reauthenticate/", {"password": WRONG}, 200)
    visitor.send("/account/reauthenticate/", {"password": PASSWORD})
    signed_in("joan", "198.51.100.7")
    pages = {
        "profile": "",
        "security activity": "security/",
        "where I am signed in": "sessions/",
        "e-mail": "email/",
        "password": "password/",
        "two steps, none yet": "2fa/",
        "authenticator app": "2fa/totp/activate/",
        "passkeys, none yet": "passkeys/",
        "add a passkey": "passkeys/add/",
    }
    for name, path in pages.items():
        tour.look(name, visitor, f"/account/{path}")
    tour.send(
        "password: mistakes", visitor, "/account/password/", {"oldpassword": "x", "password1": "y"}, 200
    )
    tour.send("authenticator app: wrong code", visitor, "/account/2fa/totp/activate/", {"code": "1"}, 200)
    visitor.send("/account/email/", {"action_add": "", "email": "joan2@example.com"})
    tour.look("e-mail: waits for its link", visitor, "/account/email/")
    tour.keep("e-mail: link", visitor, "/email/confirm/", visitor.get(mailed("/email/confirm/")))
    tour.look("e-mail: spent link", visitor, "/email/confirm/", key="none")
    tour.look("e-mail: look into your mailbox", visitor, "/email/verify/")
    with override_settings(SSO_ACCOUNT_DELETION=True):
        tour.look("delete my account", visitor, "/account/delete/")
    tour.look("account is off", Visitor(), "/account/inactive/")
    undo = signing.dumps(
        [str(User.objects.get(username="joan").pk), "old@example.com"], salt="accounts.email_change.undo"
    )
    tour.look("e-mail: undo", visitor, "/email/undo/", key=undo)
    tour.send("e-mail: undone", visitor, "/email/undo/", {"key": undo}, 200, form_of="/account/")
    tour.look("e-mail: spent undo", visitor, "/email/undo/", 404, key="x")


def factors(tour: Tour) -> None:
    """With everything set up."""
    user = somebody("lin", "totp", "key")
    visitor = signed_in_with_code(Visitor(address="203.0.113.15"), "lin")
    key = Authenticator.objects.get(user=user, type="webauthn").pk
    visitor.send("/account/2fa/recovery-codes/generate/", {})
    pages = {
        "two steps": "2fa/",
        "recovery codes": "2fa/recovery-codes/",
        "recovery codes: make new ones": "2fa/recovery-codes/generate/",
        "authenticator app: remove": "2fa/totp/deactivate/",
        "passkeys": "passkeys/",
        "passkey: rename": f"passkeys/{key}/edit/",
        "passkey: remove": f"passkeys/{key}/remove/",
    }
    for name, path in pages.items():
        tour.look(name, visitor, f"/account/{path}")
    TOTP.activate(User.objects.create_user("short", "short@example.com", SHORT), SECRET)
    visitor = Visitor(address="203.0.113.18")
    visitor.sign_in("short", SHORT)
    visitor.send("/login/factor/", {"code": steady_code()})
    visitor.send("/login/trust/", {"action": "no"})
    tour.look("a longer password first", visitor, "/account/password/longer/")
    tour.send("a longer password: still short", visitor, "/account/password/longer/", {"password1": "x"})


def by_mail_alone(tour: Tour) -> None:
    kit = somebody("kit")
    User.objects.filter(pk=kit.pk).update(password=make_password(None))
    visitor = Visitor(address="203.0.113.16")
    visitor.send("/login/code/", {"email": "kit@example.com"})
    [code] = [found for letter in delivered() for found in CODE.findall(str(letter.body))][-1:]
    visitor.send("/login/code/confirm/", {"code": code})
    tour.look("confirm by mail", visitor, "/account/reauthenticate/mail/")
    visitor.send("/account/reauthenticate/mail/", {"send": "1"})
    tour.look("confirm by mail: enter it", visitor, "/account/reauthenticate/mail/")
    tour.send("confirm by mail: wrong", visitor, "/account/reauthenticate/mail/", {"code": "AAAA"})
    with always_fresh():
        tour.look("set a password", visitor, "/account/password/set/")


def elsewhere(tour: Tour) -> None:
    """OpenID Connect, hand-offs, support."""
    shop = OidcApp.registered(post_logout_redirect_uris=["https://shop.example.net/bye"], title="The shop")
    shop.visitor.sign_in("ada", PASSWORD)
    asked = urlencode(shop.question(client_id="nobody"))
    tour.keep(
        "an unknown app asks",
        shop.visitor,
        "/oauth/authorize",
        shop.visitor.get(f"/oauth/authorize?{asked}"),
        400,
    )
    tour.look("an app signs out", shop.visitor, "/oauth/logout", client_id=shop.app.client_id)
    there = {"client_id": shop.app.client_id, "post_logout_redirect_uri": "https://evil.test/"}
    tour.look("an app signs out to nowhere", shop.visitor, "/oauth/logout", 400, **there)
    from django.conf import settings

    [further] = [site for site in settings.SSO_SITES if site != settings.SSO_SITES.primary]
    window = Visitor()
    window.hub = further.hub
    asked_by = {"host": further.hub.netloc, "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}
    answer = window.client.get(f"/handoff/finish/?ticket={'t' * 43}", secure=True, headers=asked_by)
    tour.keep("hand-off refused", window, "/handoff/finish/", answer, 400)
    asked_by["host"] = "auth.example.com"
    answer = Visitor().client.get(
        f"/handoff/?rd=https://evil.test/&challenge={'c' * 43}", secure=True, headers=asked_by
    )
    tour.keep("hand-off to nowhere", Visitor(), "/handoff/", answer, 400)
    empty = somebody("empty")
    RelyingApp.objects.all().delete()
    assert empty.is_active
    administrator("support")
    helper = signed_in_with_code(Visitor(address="203.0.113.17"), "support")
    person = User.objects.get(username="empty")
    helper.send(f"/admin/accounts/user/{person.pk}/sign-in-as/", {"reason": "Ticket 4711", "minutes": "15"})
    tour.look("signed in for support", helper, "/")
    tour.look("closed to support", helper, "/account/password/", 403)
