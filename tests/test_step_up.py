"""Whoever is asked for more than they proved proves it, or is told what their account lacks."""

from __future__ import annotations

import pytest
from allauth.mfa.totp.internal.auth import TOTP

from accounts.models import User
from sso import sign_ins
from tests.support.page_visitor import Page, Visitor
from tests.test_account_pages import PASSWORD, SECRET, early_in_a_step, totp

pytestmark = pytest.mark.django_db(transaction=True)

WANTED = "/login/?rd=%2Faccount%2F&amr=mfa"


@pytest.fixture
def ada() -> User:
    return User.objects.create_user("ada", "ada@example.com", PASSWORD)


@pytest.fixture
def trusted(ada: User) -> Visitor:
    """A browser that skips the second factor, signed in with the password alone."""
    TOTP.activate(ada, SECRET)
    visitor = Visitor()
    early_in_a_step()
    visitor.sign_in("ada", PASSWORD)
    visitor.send("/login/factor/", {"code": totp(SECRET)})
    visitor.send("/login/trust/", {"action": "trust"})
    visitor.send("/logout/", {})
    assert visitor.sign_in("ada", PASSWORD)["Location"] == "/"
    return visitor


def methods(user: User) -> list[tuple[str, ...]]:
    return [one.amr for one in sign_ins.listing(str(user.pk))]


def test_a_trusted_browser_stands_in_for_no_factor_that_was_asked_for(trusted: Visitor, ada: User) -> None:
    assert methods(ada) == [("pwd",)]
    page = Page(trusted.get(WANTED).content.decode())
    assert "stronger sign-in" in page.html
    fields = {"username": "ada", "password": PASSWORD, "amr": page.value("amr"), "rd": page.value("rd")}
    answer = trusted.send("/login/", fields, form_of=WANTED)
    assert answer["Location"].startswith("/login/factor/")


def test_nobody_signed_in_yet_is_asked_for_the_factor_too(trusted: Visitor) -> None:
    trusted.send("/logout/", {})
    page = Page(trusted.get(WANTED).content.decode())
    fields = {"username": "ada", "password": PASSWORD, "amr": page.value("amr")}
    assert trusted.send("/login/", fields, form_of=WANTED)["Location"].startswith("/login/factor/")


def test_without_a_factor_somebody_is_led_to_where_it_is_set_up(ada: User) -> None:
    visitor = Visitor()
    visitor.sign_in("ada", PASSWORD)
    answer = visitor.get(WANTED)
    assert answer.status_code == 403
    assert 'href="/account/2fa/"' in answer.content.decode()


@pytest.mark.parametrize("amr", ["MFA", "a b c d e f g h i j k", "<script>"])
def test_a_demand_that_cannot_be_read_is_refused(ada: User, amr: str) -> None:
    answer = Visitor().send("/login/", {"username": "ada", "password": PASSWORD, "amr": amr})
    assert answer.status_code == 400
