"""Every sensitive change asks for a fresh proof, of everybody: also of who has neither password nor second factor."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.utils import timezone

from accounts import mailed_confirmation
from accounts.models import User
from sso.api import views
from tests.support.mailbox import delivered, link
from tests.support.page_visitor import Page, Visitor
from tests.test_api_steps import new_browser, post

pytestmark = pytest.mark.django_db(transaction=True)

PASSWORD = "seven brave kettles sing"
CODE = re.compile(r"^\s*([A-Z0-9]{4,}(?:-[A-Z0-9]+)*)\s*$", re.MULTILINE)
CONFIRM = "/account/reauthenticate/mail/"


@pytest.fixture
def eve() -> User:
    """Made by an administrator; nobody ever chose a password for her."""
    return User.objects.create_user("eve", "eve@example.com")


def mailed_code() -> str:
    [letter] = delivered()
    [code] = CODE.findall(str(letter.body))
    return str(code)


@pytest.fixture
def signed_in(eve: User) -> Visitor:
    """By a mailed code, the one way she has."""
    visitor = Visitor()
    visitor.send("/login/code/", {"email": "eve@example.com"})
    answer = visitor.send("/login/code/confirm/", {"code": mailed_code()})
    assert answer.status_code in (302, 303)
    assert Page(visitor.get("/").content.decode()).all("a", href="/account/")
    return visitor


def asked(visitor: Visitor) -> str:
    """A code, asked for on the page."""
    visitor.send(CONFIRM, {"send": "1", "next": "/account/password/set/"})
    return mailed_code()


def test_who_never_had_a_password_sets_one_through_a_reset(eve: User) -> None:
    visitor = Visitor()
    visitor.send("/password/reset/", {"email": "eve@example.com"})
    [letter] = delivered()
    form = visitor.get(link(letter, "/password/reset/link/"))["Location"]
    visitor.send(form, {"password1": PASSWORD})
    assert Visitor().sign_in("eve", PASSWORD).status_code == 303


@pytest.mark.parametrize(
    "path", ["/account/password/set/", "/account/2fa/totp/activate/", "/account/passkeys/add/"]
)
def test_signed_in_by_mail_alone_is_not_fresh(signed_in: Visitor, path: str) -> None:
    assert signed_in.get(path)["Location"].startswith(CONFIRM)


def test_an_address_is_not_added_without_a_fresh_proof(signed_in: Visitor, eve: User) -> None:
    answer = signed_in.send("/account/email/", {"action_add": "", "email": "mallory@example.com"})
    assert answer["Location"].startswith(CONFIRM)
    assert delivered() == []


def test_the_mailed_code_confirms_and_leads_back(signed_in: Visitor) -> None:
    answer = signed_in.send(CONFIRM, {"code": asked(signed_in), "next": "/account/password/set/"})
    assert answer["Location"] == "/account/password/set/"
    signed_in.send("/account/password/set/", {"password1": PASSWORD})
    assert Visitor().sign_in("eve", PASSWORD).status_code == 303


def test_a_code_counts_once_and_not_for_anybody_else(signed_in: Visitor) -> None:
    code = asked(signed_in)
    User.objects.create_user("mal", "mal@example.com")
    other = Visitor()
    other.send("/login/code/", {"email": "mal@example.com"})
    other.send("/login/code/confirm/", {"code": mailed_code()})
    assert other.send(CONFIRM, {"code": code}).status_code == 400
    assert signed_in.send(CONFIRM, {"code": code}).status_code == 303
    assert signed_in.send(CONFIRM, {"code": code}).status_code == 400


def test_three_wrong_codes_end_it(signed_in: Visitor) -> None:
    code = asked(signed_in)
    for wrong in ("AAAAAA", "BBBBBB", "CCCCCC", code):
        assert signed_in.send(CONFIRM, {"code": wrong}).status_code == 400


def test_an_old_code_is_worth_nothing(signed_in: Visitor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mailed_confirmation, "LIFE", timezone.timedelta(seconds=-1))
    signed_in.send(CONFIRM, {"send": "1"})
    monkeypatch.undo()
    assert signed_in.send(CONFIRM, {"code": "AAAAAA"}).status_code == 400


def test_codes_by_mail_are_not_sent_without_end(signed_in: Visitor) -> None:
    answers = [signed_in.send(CONFIRM, {"send": "1"}).status_code for _ in range(8)]
    assert answers[-1] == 429
    assert len(delivered()) <= 5


def test_who_has_a_password_confirms_with_it_and_not_by_mail() -> None:
    User.objects.create_user("ada", "ada@example.com", PASSWORD)
    visitor = Visitor()
    visitor.sign_in("ada", PASSWORD)
    assert visitor.get(CONFIRM).status_code == 303
    assert visitor.post(CONFIRM, {"send": "1", "csrfmiddlewaretoken": ""}).status_code == 403
    assert visitor.send(CONFIRM, {"send": "1"}, form_of="/account/").status_code == 303
    assert delivered() == []


def test_it_leads_to_pages_of_the_hub_only(signed_in: Visitor) -> None:
    for address in ("https://evil.example/", "//evil.example/", "/\\evil.example"):
        answer = signed_in.send(CONFIRM, {"code": asked(signed_in), "next": address})
        assert answer["Location"] == "/account/"


# -- where somebody goes on to


@pytest.mark.parametrize(
    "page", ["/login/code/", "/password/reset/", "/account/reauthenticate/", "/account/2fa/"]
)
@pytest.mark.parametrize(
    "address", ['https://evil.example/"><script>', "//evil.example", "javascript:alert(1)"]
)
def test_no_page_prints_or_follows_a_foreign_address(page: str, address: str) -> None:
    User.objects.create_user("ada", "ada@example.com", PASSWORD)
    visitor = Visitor()
    visitor.sign_in("ada", PASSWORD)
    for somebody in (Visitor(), visitor):
        answer = somebody.get(page, next=address)
        assert "evil" not in answer.content.decode()
        assert "alert(1)" not in answer.content.decode()
        assert "evil" not in answer.headers.get("Location", "")


def test_what_is_printed_is_the_rebuilt_form_and_never_the_text_that_came() -> None:
    User.objects.create_user("ada", "ada@example.com", PASSWORD)
    visitor = Visitor()
    visitor.sign_in("ada", PASSWORD)
    page: Any = Page(visitor.get("/account/reauthenticate/", next="/account/?a=\"b'c d").content.decode())
    assert page.value("next") == "/account/?a=%22b'c%20d"


# -- the API


@pytest.mark.asvs("7.5.2")
def test_the_api_ends_another_sign_in_only_for_a_fresh_one(monkeypatch: pytest.MonkeyPatch) -> None:
    User.objects.create_user("ada", "ada@example.com", PASSWORD)
    here, there = new_browser(), new_browser()
    for browser in (here, there):
        assert post(browser, username="ada", password=PASSWORD).status_code == 200
    [sid] = [
        one["sid"] for one in here.get("/api/sessions", secure=True).json()["sessions"] if not one["current"]
    ]
    monkeypatch.setattr(views, "FRESH", -1)  # every sign-in of this test is an old one
    refused = here.delete(f"/api/sessions/{sid}", secure=True)
    assert (refused.status_code, refused.json()["error"]) == (403, "confirmation_required")
    monkeypatch.undo()
    assert here.delete(f"/api/sessions/{sid}", secure=True).status_code == 204
