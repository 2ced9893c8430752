"""Who enters the admin: staff, through the hub's sign-in page, with a second factor, on the primary hub."""

from __future__ import annotations

import pytest
from django.conf import settings
from pytest_django import Settings

from accounts.models import User
from tests.support.admins import PASSWORD, administrator, signed_in_with_code
from tests.support.page_visitor import Visitor

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def visitor() -> Visitor:
    return Visitor()


@pytest.mark.parametrize("path", ["/admin/", "/admin/accounts/user/", "/admin/nothing-here/"])
def test_a_stranger_signs_in_at_the_hub_and_comes_back(visitor: Visitor, path: str) -> None:
    answer = visitor.get(path)
    assert answer.status_code == 303
    assert answer["Location"] == f"/login/?rd={path.replace('/', '%2F')}&amr=mfa"


def test_the_admin_has_no_sign_in_page_of_its_own(visitor: Visitor) -> None:
    answer = visitor.get("/admin/login/", next="https://evil.test/")
    assert answer["Location"].startswith("/login/?rd=https%3A%2F%2Fevil.test%2F")
    assert visitor.get(answer["Location"]).status_code == 400


def test_a_password_alone_does_not_open_the_admin(visitor: Visitor) -> None:
    User.objects.create_superuser("root", "root@example.com", PASSWORD)
    visitor.sign_in("root", PASSWORD)
    answer = visitor.get("/admin/")
    assert answer["Location"] == "/login/?rd=%2Fadmin%2F&amr=mfa"
    assert visitor.get(answer["Location"]).status_code == 403


def test_a_password_and_a_code_open_it(visitor: Visitor) -> None:
    administrator()
    answer = signed_in_with_code(visitor).get("/admin/")
    assert answer.status_code == 200
    assert answer["Cache-Control"] == "no-store"


def test_where_no_second_factor_is_asked_for_a_password_is_enough(
    visitor: Visitor, settings: Settings
) -> None:
    settings.SSO_ADMIN_SECOND_FACTOR = False
    User.objects.create_superuser("root", "root@example.com", PASSWORD)
    visitor.sign_in("root", PASSWORD)
    assert visitor.get("/admin/").status_code == 200


def test_somebody_who_is_no_administrator_is_told_so(visitor: Visitor) -> None:
    administrator("ada", is_staff=False, is_superuser=False)
    answer = signed_in_with_code(visitor, "ada").get("/admin/")
    assert answer.status_code == 403


def test_the_shared_cookie_alone_opens_nothing(visitor: Visitor) -> None:
    administrator()
    signed_in_with_code(visitor)
    thief = Visitor()
    thief.client.cookies[settings.SSO_COOKIE_NAME] = visitor.cookie(settings.SSO_COOKIE_NAME)
    assert thief.get("/admin/")["Location"].startswith("/login/")


def test_a_disabled_administrator_is_out_at_once(visitor: Visitor) -> None:
    root = administrator()
    signed_in_with_code(visitor)
    root.is_active = False
    root.save()
    assert visitor.get("/admin/")["Location"].startswith("/login/")


def test_the_looser_policy_stays_under_the_admin(visitor: Visitor) -> None:
    administrator()
    signed_in_with_code(visitor)
    assert "'unsafe-eval'" in visitor.get("/admin/")["Content-Security-Policy"]
    for path in ("/", "/account/", "/login/"):
        assert "unsafe" not in visitor.get(path)["Content-Security-Policy"]


def test_a_further_sites_hub_sends_administrators_to_the_primary_one(visitor: Visitor) -> None:
    visitor.client.defaults["HTTP_HOST"] = list(settings.SSO_SITES)[1].hub.netloc
    answer = visitor.client.get(
        "/admin/", secure=True, headers={"host": list(settings.SSO_SITES)[1].hub.netloc}
    )
    assert answer["Location"] == f"{settings.SSO_SITES.primary.hub}/admin/"


def test_tables_of_libraries_that_hold_secrets_are_not_shown(visitor: Visitor) -> None:
    administrator()
    signed_in_with_code(visitor)
    for path in ("/admin/mfa/authenticator/", "/admin/account/emailaddress/"):
        assert visitor.get(path).status_code == 404


def test_only_what_somebody_may_open_is_in_their_menu(visitor: Visitor) -> None:
    administrator("eve", "accounts.view_user")
    html = signed_in_with_code(visitor, "eve").get("/admin/").content.decode()
    assert "/admin/accounts/user/" in html
    assert "/admin/sso/relyingapp/" not in html
    assert visitor.get("/admin/sso/relyingapp/").status_code == 403
