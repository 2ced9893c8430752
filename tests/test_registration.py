"""Becoming somebody: by a link to one's own mailbox, once; nobody learns who is somebody already."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from allauth.account.models import EmailAddress
from django.core.management import CommandError, call_command
from django.db import connection
from django.utils import timezone

from accounts.models import User
from accounts.records import Invitation, OutgoingMail
from sso import sign_ins
from tests.support.mailbox import delivered, link
from tests.support.page_visitor import Visitor, without_tokens

PASSWORD = "seven brave kettles sing"
pytestmark = pytest.mark.django_db


@pytest.fixture
def everybody(settings: Any) -> None:
    settings.SSO_REGISTRATION = "open"


@pytest.fixture
def invited(settings: Any, capsys: pytest.CaptureFixture[str]) -> str:
    """The link of an invitation of Ada into the group staff."""
    settings.SSO_REGISTRATION = "invitation"
    call_command("invite", "Ada@Example.com", "--group", "staff", "--no-mail")
    url = capsys.readouterr().out.strip()
    assert url.startswith("https://auth.example.com/signup/finish/?key=")
    return url.removeprefix("https://auth.example.com")


def finish(visitor: Visitor, address: str, **changed: str) -> Any:
    fields = {"username": "ada", "name": "Ada Lovelace", "password": PASSWORD, **changed}
    return visitor.send("/signup/finish/", {"key": address.partition("key=")[2], **fields}, form_of="/login/")


# -- open


def test_an_address_gets_a_link_that_makes_an_account_and_signs_in(everybody: None) -> None:
    ada = Visitor()
    assert ada.send("/signup/", {"email": "Ada@Example.com"}).headers["location"] == "/signup/sent/"
    assert not User.objects.exists()
    [message] = delivered()
    assert message.to == ["ada@example.com"]
    answer = finish(ada, link(message, "/signup/finish/"))
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    user = User.objects.get()
    assert (user.username, user.email, user.get_full_name()) == ("ada", "ada@example.com", "Ada Lovelace")
    address = EmailAddress.objects.get()
    assert (address.email, address.verified, address.primary) == ("ada@example.com", True, True)
    assert len(sign_ins.listing(str(user.pk))) == 1
    assert b"Ada Lovelace" in ada.get("/").content


@pytest.mark.asvs("6.3.8")
def test_a_known_address_is_answered_the_same_and_its_owner_is_told(everybody: None) -> None:
    User.objects.create_user("ada", "ada@example.com", PASSWORD)
    answers = []
    for email in ("ada@example.com", "bob@example.com"):
        answer = Visitor().send("/signup/", {"email": email})
        del answer.headers["X-Request-ID"]  # random
        answers.append((answer.status_code, without_tokens(answer.content), sorted(answer.headers.items())))
    assert answers[0] == answers[1]
    known, unknown = sorted(delivered(), key=lambda message: message.to)
    assert "You have an account with it already" in known.body
    assert "/signup/finish/" not in known.body
    assert "/signup/finish/" in unknown.body
    assert Invitation.objects.count() == 1


@pytest.mark.asvs("6.4.1")
def test_a_link_works_once(everybody: None) -> None:
    Visitor().send("/signup/", {"email": "ada@example.com"})
    [message] = delivered()
    assert finish(Visitor(), link(message, "finish")).status_code == 303
    again = Visitor().get(link(message, "finish"))
    assert (again.status_code, "no longer works" in again.content.decode()) == (404, True)
    assert finish(Visitor(), link(message, "finish"), username="mallory").status_code == 404
    assert User.objects.count() == 1


def test_looking_at_a_link_does_not_spend_it(everybody: None) -> None:
    Visitor().send("/signup/", {"email": "ada@example.com"})
    [message] = delivered()
    for _ in range(3):
        assert Visitor().get(link(message, "finish")).status_code == 200
    assert finish(Visitor(), link(message, "finish")).status_code == 303


def test_several_links_to_one_mailbox_make_one_account(everybody: None) -> None:
    for _ in range(2):
        Visitor().send("/signup/", {"email": "ada@example.com"})
    first, second = delivered()
    assert finish(Visitor(), link(second, "finish")).status_code == 303
    assert finish(Visitor(), link(first, "finish"), username="ada2").status_code == 404


def test_somebody_else_who_took_the_name_meanwhile_is_no_fault(everybody: None) -> None:
    User.objects.create_user("ada", "other@example.com", PASSWORD)
    Visitor().send("/signup/", {"email": "ada@example.com"})
    [message] = delivered()
    assert finish(Visitor(), link(message, "finish")).status_code == 400
    assert finish(Visitor(), link(message, "finish"), username="ada.l").status_code == 303


@pytest.mark.asvs("6.2.1", "6.2.11")
@pytest.mark.parametrize(
    ("password", "allowed"),
    [
        pytest.param(PASSWORD, True, id="a phrase"),
        pytest.param("too short", False, id="short"),
        pytest.param("example.com-2026-example!", False, id="the site's name"),
        pytest.param("Single-Sign-On-Single-Sign-On", False, id="the service's name"),
        pytest.param("grace-hopper-grace-123", False, id="the person's own name"),
        pytest.param("example kettles sing bravely", True, id="the site's name among others"),
    ],
)
def test_passwords_are_judged_with_names_in_view(everybody: None, password: str, allowed: bool) -> None:
    Visitor().send("/signup/", {"email": "g@example.com"})
    [message] = delivered()
    answer = finish(
        Visitor(), link(message, "finish"), username="grace", name="Grace Hopper", password=password
    )
    assert answer.status_code == (303 if allowed else 400), answer.content.decode()
    assert User.objects.exists() is allowed


@pytest.mark.asvs("6.4.1")
def test_an_expired_link_is_of_no_use(everybody: None) -> None:
    Visitor().send("/signup/", {"email": "ada@example.com"})
    [message] = delivered()
    Invitation.objects.update(expires=timezone.now() - timedelta(seconds=1))
    assert finish(Visitor(), link(message, "finish")).status_code == 404


def test_mail_is_asked_for_a_few_times_only_whoever_has_the_address(everybody: None) -> None:
    User.objects.create_user("ada", "ada@example.com", PASSWORD)
    for email in ("ada@example.com", "nobody@example.com"):
        statuses = [
            Visitor(address=f"203.0.113.{n}").send("/signup/", {"email": email}).status_code for n in range(8)
        ]
        assert statuses == [303] * 5 + [429] * 3
    assert OutgoingMail.objects.count() == 10


# -- off, and by invitation


@pytest.mark.parametrize("setting", ["off", "invitation"])
def test_nobody_registers_uninvited(settings: Any, setting: str) -> None:
    settings.SSO_REGISTRATION = setting
    assert Visitor().get("/signup/").status_code == 404
    visitor = Visitor()
    answer = visitor.send("/signup/", {"email": "ada@example.com"}, form_of="/login/")
    assert (answer.status_code, OutgoingMail.objects.count()) == (404, 0)


@pytest.mark.asvs("6.4.6")
def test_who_is_invited_gets_an_account_in_their_groups(invited: str) -> None:
    assert finish(Visitor(), invited).status_code == 303
    assert [group.name for group in User.objects.get(email="ada@example.com").groups.all()] == ["staff"]


@pytest.mark.asvs("6.4.1")
def test_the_secret_of_a_link_is_not_kept(invited: str) -> None:
    secret = invited.partition("key=")[2]
    [row] = Invitation.objects.values()
    assert secret not in str(row)


def test_an_invitation_ends_with_registration(invited: str, settings: Any) -> None:
    settings.SSO_REGISTRATION = "off"
    assert finish(Visitor(), invited).status_code == 404


def test_an_invitation_is_mailed(settings: Any, capsys: pytest.CaptureFixture[str], mailoutbox: Any) -> None:
    settings.SSO_REGISTRATION = "invitation"
    call_command("invite", "ada@example.com", "--days", "3")
    printed = capsys.readouterr().out.strip()
    [message] = mailoutbox
    assert printed in message.body
    assert "3 days" in message.body


@pytest.mark.parametrize(
    ("email", "setting", "why"),
    [
        ("ada@example.com", "off", "SSO_REGISTRATION is off"),
        ("ada", "open", "not an e-mail address"),
        ("taken@example.com", "open", "already"),
    ],
)
def test_an_invitation_that_makes_no_sense_is_refused(
    settings: Any, email: str, setting: str, why: str
) -> None:
    settings.SSO_REGISTRATION = setting
    User.objects.create_user("taken", "taken@example.com")
    with pytest.raises(CommandError, match=re.escape(why)):
        call_command("invite", email)


@pytest.mark.django_db(transaction=True)
def test_of_many_who_use_one_link_at_once_one_gets_the_account(invited: str) -> None:
    visitors = [Visitor() for _ in range(8)]
    for visitor in visitors:
        visitor.get(invited)

    def use(number: int) -> int:
        try:
            status: int = finish(visitors[number], invited, username=f"ada{number}").status_code
            return status
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as pool:
        statuses = list(pool.map(use, range(8)))
    assert sorted(statuses)[0] == 303
    assert statuses.count(303) == 1
    assert User.objects.count() == 1
    assert not [status for status in statuses if status >= 500 and status != 503]


# -- leaving


def leave(visitor: Visitor) -> Any:
    return visitor.send("/account/delete/", {})


def test_nobody_leaves_unless_the_setting_lets_them(settings: Any) -> None:
    User.objects.create_user("ada", "ada@example.com", PASSWORD)
    ada = Visitor()
    ada.sign_in("ada", PASSWORD)
    assert ada.get("/account/delete/").status_code == 404
    assert leave(ada).status_code in (403, 404)
    assert User.objects.exists()


@pytest.mark.asvs("6.3.7", "7.4.2", "7.5.3")
def test_who_leaves_is_gone_everywhere_after_saying_so_again(settings: Any) -> None:
    settings.SSO_ACCOUNT_DELETION = True
    user = User.objects.create_user("ada", "ada@example.com", PASSWORD)
    ada, elsewhere = Visitor(), Visitor()
    for visitor in (ada, elsewhere):
        visitor.sign_in("ada", PASSWORD)
    first = ada.get("/account/delete/")
    assert "/account/reauthenticate/" in first.headers["location"]
    again = ada.send(first.headers["location"], {"password": PASSWORD})
    assert again.headers["location"].endswith("/account/delete/")
    assert ada.get("/account/delete/").status_code == 200
    assert leave(ada).headers["location"] == "/logout/"
    assert not User.objects.exists()
    assert sign_ins.listing(str(user.pk)) == []
    assert elsewhere.get("/").status_code == 303
    assert [message.subject for message in delivered()][-1].endswith("your account was deleted")


@pytest.mark.parametrize(("mode", "shown"), [("open", True), ("invitation", False), ("off", False)])
def test_the_sign_in_page_shows_the_way_to_an_account_only_where_there_is_one(
    settings: Any, mode: str, shown: bool
) -> None:
    settings.SSO_REGISTRATION = mode
    assert (b'href="/signup/"' in Visitor().get("/login/").content) is shown
