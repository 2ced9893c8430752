"""A forgotten password: no way around the second factor, no word about who is known, every sign-in ends."""

from __future__ import annotations

from typing import Any

import pytest
from allauth.account.models import EmailAddress
from allauth.mfa.totp.internal.auth import TOTP
from django.test import Client

from accounts import email_change, throttle
from accounts.mail import mailing
from accounts.models import User
from accounts.records import OutgoingMail
from sso import sign_ins
from tests.support.mailbox import delivered, link
from tests.support.page_visitor import Visitor, without_tokens

OLD, NEW = "seven brave kettles sing", "nine quiet lanterns dance"
pytestmark = pytest.mark.django_db


@pytest.fixture
def ada() -> User:
    return User.objects.create_user("ada", "ada@example.com", OLD)


def ask(email: str, visitor: Visitor | None = None) -> Any:
    return (visitor or Visitor()).send("/password/reset/", {"email": email})


def choose(address: str, password: str = NEW) -> Any:
    """Follow the mailed link and send the form behind it, as a browser does."""
    visitor = Visitor()
    shown = visitor.get(address)
    if shown.status_code != 303:
        return shown
    place = shown.headers["location"]
    return visitor.send(place, {"password1": password, "password2": password})


def mailed_link(email: str = "ada@example.com") -> str:
    ask(email)
    [message] = delivered()
    return link(message, "/password/reset/link/")


@pytest.mark.asvs("6.4.3")
def test_the_link_sets_a_password_and_signs_nobody_in(ada: User) -> None:
    answer = choose(mailed_link())
    assert (answer.status_code, answer.headers["location"]) == (302, "/password/reset/changed/")
    assert sign_ins.listing(str(ada.pk)) == []
    assert not any(morsel.value and "sso_session" in name for name, morsel in answer.cookies.items())
    assert Visitor().sign_in("ada", OLD).status_code == 401
    assert Visitor().sign_in("ada", NEW).status_code == 303


@pytest.mark.asvs("7.4.3")
@pytest.mark.django_db(transaction=True)
def test_a_reset_ends_every_sign_in(ada: User) -> None:
    browsers = [Visitor(), Visitor()]
    for browser in browsers:
        browser.sign_in("ada", OLD)
    choose(mailed_link())
    assert sign_ins.listing(str(ada.pk)) == []
    assert [browser.get("/").headers["location"] for browser in browsers] == ["/login/", "/login/"]


@pytest.mark.asvs("6.4.1")
def test_a_link_works_once(ada: User) -> None:
    address = mailed_link()
    assert choose(address).status_code == 302
    assert choose(address, "ten loud umbrellas march").status_code == 200
    assert Visitor().sign_in("ada", NEW).status_code == 303


@pytest.mark.asvs("6.4.3")
def test_a_second_factor_is_asked_for_after_a_reset(ada: User) -> None:
    TOTP.activate(ada, "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP")
    choose(mailed_link())
    answer = Visitor().sign_in("ada", NEW)
    assert answer.headers["location"].startswith("/login/factor/")
    assert sign_ins.listing(str(ada.pk)) == []


@pytest.mark.asvs("6.3.8")
def test_known_and_unknown_addresses_are_answered_with_the_same_bytes(ada: User) -> None:
    answers = [ask(email) for email in ("ada@example.com", "nobody@example.com")]
    for answer in answers:
        del answer.headers["X-Request-ID"]  # random
    seen = [(a.status_code, without_tokens(a.content), sorted(a.headers.items())) for a in answers]
    assert seen[0] == seen[1]
    known, unknown = sorted(delivered(), key=lambda message: message.to)
    assert "/password/reset/link/" in known.body
    assert "no account with this address" in unknown.body


@pytest.mark.parametrize("email", ["ADA@example.com", " ada@EXAMPLE.com", "\uff41da@example.com"])
def test_mail_goes_to_the_address_as_we_keep_it_never_as_it_was_typed(ada: User, email: str) -> None:
    ask(email)
    for message in delivered():
        assert message.to == ["ada@example.com"]


def test_a_disabled_person_gets_no_link(ada: User) -> None:
    User.objects.filter(pk=ada.pk).update(is_active=False)
    ask("ada@example.com")
    [message] = delivered()
    assert "/password/reset/link/" not in message.body


@pytest.mark.parametrize("tampered", ["", "x", "0-abc", "%00-%00", "é-é"])
def test_a_made_up_link_opens_nothing(ada: User, tampered: str) -> None:
    assert Visitor().get(f"/password/reset/link/?key={tampered}").status_code == 200


def test_a_changed_link_opens_nothing(ada: User) -> None:
    address = mailed_link()
    assert Visitor().get(address[:-1] + ("a" if address[-1] != "a" else "b")).status_code == 200


def test_a_link_leads_to_the_configured_hub_whatever_the_request_says(ada: User) -> None:
    for host in (
        "evil.test",
        "auth.example.com.evil.test",
        "auth.example.com:8443",
        "auth.example.com@evil.test",
    ):
        client = Client(headers={"host": host, "x-forwarded-host": "evil.test"})
        client.post("/password/reset/", {"email": "ada@example.com"}, secure=True)
    ask("ada@example.com")
    for message in delivered():
        links = [word for word in message.body.split() if "://" in word]
        assert links
        assert all(word.startswith("https://auth.example.com/") for word in links)
        assert "evil" not in message.body


@pytest.mark.asvs("6.3.1")
def test_mail_to_one_mailbox_is_bounded_whoever_has_it(ada: User) -> None:
    for email in ("ada@example.com", "nobody@example.com"):
        visitors = [Visitor(address=f"203.0.113.{number}") for number in range(100)]
        statuses = [ask(email, visitor).status_code for visitor in visitors]
        assert statuses.count(302) == throttle.MAILBOX_BURST
        assert statuses.count(429) == 100 - throttle.MAILBOX_BURST
    assert OutgoingMail.objects.count() == 2 * throttle.MAILBOX_BURST


def test_one_address_cannot_write_to_everybody(ada: User) -> None:
    visitor = Visitor()
    statuses = [ask(f"person{number}@example.com", visitor).status_code for number in range(30)]
    assert statuses == [302] * throttle.MAIL_BURST + [429] * (30 - throttle.MAIL_BURST)


# -- changed addresses


def changed_to(ada: User, new: str) -> None:
    """The address as django-allauth changes it, and the mail it sends."""
    address, _ = EmailAddress.objects.update_or_create(
        user=ada, email=new, defaults={"verified": True, "primary": False}
    )
    address.set_as_primary()


@pytest.mark.asvs("7.4.3")
def test_the_old_address_can_take_a_change_back_and_everybody_is_out(ada: User) -> None:
    thief = Visitor()
    thief.sign_in("ada", OLD)
    ada.refresh_from_db()
    changed_to(ada, "thief@example.net")
    assert User.objects.get().email == "thief@example.net"
    url = email_change.undo_link("https://auth.example.com", {"user": ada, "from_email": "ada@example.com"})
    address = url.removeprefix("https://auth.example.com")
    owner = Visitor()
    assert owner.get(address).status_code == 200
    assert User.objects.get().email == "thief@example.net", "a GET changes nothing"
    key = address.partition("key=")[2]
    from urllib.parse import unquote

    assert owner.send("/email/undo/", {"key": unquote(key)}, form_of=address).status_code == 200
    user = User.objects.get()
    assert (user.email, user.has_usable_password()) == ("ada@example.com", False)
    assert [a.email for a in EmailAddress.objects.filter(user=user)] == ["ada@example.com"]
    assert sign_ins.listing(str(user.pk)) == []
    assert thief.get("/").headers["location"] == "/login/"
    [message] = [m for m in delivered() if "/password/reset/link/" in m.body]
    assert message.to == ["ada@example.com"]
    assert choose(link(message, "/password/reset/link/")).status_code == 302
    assert Visitor().sign_in("ada", NEW).status_code == 303
    assert owner.get(address).status_code == 404, "once"


@pytest.mark.parametrize("key", ["", "x", "WyJ4Il0:1:abc"])
def test_an_undo_that_nobody_signed_does_nothing(ada: User, key: str) -> None:
    assert Visitor().get("/email/undo/", key=key).status_code == 404


def test_links_made_for_other_things_undo_nothing(ada: User) -> None:
    from django.core import signing

    key = signing.dumps([str(ada.pk), "mallory@example.com"])
    assert Visitor().get("/email/undo/", key=key).status_code == 404
    assert mailing.hub_of(None) == "https://auth.example.com"
