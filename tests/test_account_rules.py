"""What holds for every page of accounts, whichever there are: a new route is among them by itself."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from allauth.account.models import EmailAddress
from allauth.mfa.totp.internal.auth import TOTP
from django.test import Client

from accounts.models import User
from sso import sign_ins
from sso.keys import fingerprint
from sso.redis import client as redis_client
from sso.redis import keys
from tests.asvs.page import catalogue
from tests.support import addresses
from tests.support.mailbox import delivered
from tests.support.page_visitor import Element, Page, Visitor
from tests.test_api_steps import SECRET, new_browser
from tests.test_factor_codes import steady_code

pytestmark = pytest.mark.django_db(transaction=True)

PASSWORD, NEW = "correct horse battery staple", "nine quiet lanterns dance"
HUB_COOKIE, SHARED_COOKIE = "__Host-sso_hub", "__Secure-sso_session"
PASSWORDS = re.compile(r"(old|new_?|current_?)?password\d?")
#: Where factors are shown, made, taken away or renamed, and the account itself.
SENSITIVE = re.compile(r"/account/(password|delete|2fa/.+|passkeys/.+)/")
#: What people would be asked who are to remember something for bad days.
HINTS = re.compile(r"hint|question|answer|maiden|birth|pet_?name")


@pytest.fixture
def ada() -> User:
    return User.objects.create_user("ada", "ada@example.com", PASSWORD)


@pytest.fixture
def signed_in(ada: User) -> Visitor:
    visitor = Visitor()
    assert visitor.sign_in("ada", PASSWORD).status_code == 303
    return visitor


@pytest.fixture
def confirmed(signed_in: Visitor) -> Visitor:
    """Signed in, and confirmed again where that is another thing: no page asks for it first."""
    signed_in.send("/account/reauthenticate/", {"password": PASSWORD})
    return signed_in


def routes() -> Iterator[str]:
    """One address of each route, without what signs out, and without machines' addresses."""
    for route in addresses.routes():
        for path in addresses.examples(route)[:1]:
            if not path.startswith(("/api/", "/static/")) and path != "/logout/":
                yield path


def pages(visitor: Visitor) -> Iterator[tuple[str, Page]]:
    """Every page this visitor gets to see, by its address."""
    for path in routes():
        response = visitor.get(path)
        if response.status_code == 200 and response["Content-Type"].startswith("text/html"):
            yield path, Page(response.content.decode())


def fields(visitor: Visitor) -> Iterator[tuple[str, Element]]:
    for path, page in pages(visitor):
        yield from ((path, field) for field in page.all("input"))


@pytest.mark.asvs("7.4.4")
def test_every_page_for_somebody_signed_in_has_a_button_to_sign_out(confirmed: Visitor) -> None:
    for_all = {path for path, _ in pages(Visitor())}
    seen = {
        path: "/logout/" in [form.attributes.get("action") for form in page.all("form", method="post")]
        for path, page in pages(confirmed)
        if path not in for_all and path != "/oauth/logout"  # asks just that, with a button of its own
    }
    assert {"/", "/account/password/"} <= seen.keys()
    assert [path for path, has_button in seen.items() if not has_button] == []


@pytest.mark.asvs("6.2.6", "6.2.7")
def test_every_password_is_hidden_and_told_to_password_managers(confirmed: Visitor) -> None:
    seen = set()
    for path, field in (*fields(Visitor()), *fields(confirmed)):
        if (
            PASSWORDS.fullmatch(field.attributes.get("name") or "")
            or field.attributes.get("type") == "password"
        ):
            seen.add(path)
            assert field.attributes["type"] == "password", path
            assert field.attributes["autocomplete"] in ("current-password", "new-password"), path
            assert not [name for name in field.attributes if name.startswith("on")], path
    assert {"/login/", "/account/password/"} <= seen


@pytest.mark.asvs("6.4.2")
def test_nobody_is_asked_for_a_hint_or_a_secret_question(confirmed: Visitor) -> None:
    asked = {field.attributes.get("name") or "" for _, field in (*fields(Visitor()), *fields(confirmed))}
    kept = {field.name for field in User._meta.get_fields()}
    assert "password" in asked & kept
    assert [name for name in asked | kept if HINTS.search(name)] == []


def every_route() -> list[str]:
    return [path for route in addresses.routes() for path in addresses.examples(route)[:1]]


@pytest.mark.asvs("6.1.3", "6.3.4")
def test_the_right_password_signs_in_where_that_is_listed_and_nowhere_else(ada: User) -> None:
    listed = {way.address: way.takes for way in catalogue().ways_in}
    assert listed.keys() <= set(every_route())
    found = {path for path in every_route() if _lets_in(ada, path)}
    assert found == {address for address, takes in listed.items() if takes.startswith("password")}


def _lets_in(ada: User, path: str) -> bool:
    given = dict.fromkeys(("username", "login", "email"), "ada") | {
        "password": PASSWORD,
        "oldpassword": PASSWORD,
    }
    as_json = {"username": "ada", "password": PASSWORD}
    basic = {"authorization": "Basic YWRhOmNvcnJlY3QgaG9yc2UgYmF0dGVyeSBzdGFwbGU="}

    def tries() -> Iterator[Any]:
        yield new_browser().post(path, given, secure=True)
        yield new_browser().post(path, as_json, content_type="application/json", secure=True)
        yield from (ask(path, secure=True, headers=basic) for ask in _methods(new_browser()))

    for _ in tries():
        pass
    found = sign_ins.listing(str(ada.pk))
    sign_ins.end_all(str(ada.pk))
    return bool(found)


def _methods(browser: Client) -> tuple[Any, ...]:
    return browser.get, browser.post


@pytest.mark.asvs("6.3.4")
def test_wrong_passwords_on_the_page_count_for_the_api_and_the_other_way_round(ada: User) -> None:
    def page(password: str) -> int:
        return int(Visitor().sign_in("ada", password).status_code)

    def api(password: str) -> int:
        sent = {"username": "ada", "password": password}
        answer = new_browser().post("/api/session", sent, content_type="application/json", secure=True)
        return int(answer.status_code)

    tried = [way("wrong " + PASSWORD) for way in (page, api) * 3]
    assert set(tried[:5]) == {401}
    assert (page(PASSWORD), api(PASSWORD)) == (429, 429)


def _lives(cookies: dict[str, str]) -> set[bool]:
    redis, key = redis_client(), keys()
    return {
        bool(redis.exists(key.hub(fingerprint(cookies[HUB_COOKIE])))),
        bool(redis.exists(key.session(fingerprint(cookies[SHARED_COOKIE])))),
    }


def _cookies(visitor: Visitor) -> dict[str, str]:
    return {name: visitor.cookie(name) for name in (HUB_COOKIE, SHARED_COOKIE)}


@pytest.mark.asvs("7.2.4")
@pytest.mark.parametrize(
    ("page", "fields"),
    [
        ("/login/?max_age=0", {"username": "ada", "password": PASSWORD}),
        ("/account/reauthenticate/", {"password": PASSWORD}),
    ],
)
def test_confirming_who_one_is_replaces_both_cookies_and_the_old_ones_die(
    signed_in: Visitor, page: str, fields: dict[str, str]
) -> None:
    before = _cookies(signed_in)
    assert _lives(before) == {True}
    response = signed_in.send(page.partition("?")[0], fields, form_of=page)
    assert response.status_code in (302, 303), response.content
    after = _cookies(signed_in)
    assert not set(before.values()) & set(after.values())
    assert (_lives(before), _lives(after)) == ({False}, {True})


@pytest.mark.asvs("7.2.4")
def test_a_second_factor_as_confirmation_replaces_both_cookies_too(signed_in: Visitor, ada: User) -> None:
    TOTP.activate(ada, SECRET)
    before = _cookies(signed_in)
    response = signed_in.send("/account/reauthenticate/factor/", {"code": steady_code()})
    assert response.status_code in (302, 303), response.content
    assert (_lives(before), _lives(_cookies(signed_in))) == ({False}, {True})


# -- changing what one signs in with


def change_password(visitor: Visitor, old: str, new: str) -> Any:
    return visitor.send("/account/password/", {"oldpassword": old, "password1": new})


@pytest.mark.asvs("6.2.2", "6.2.3")
@pytest.mark.parametrize("old", ["", "not " + PASSWORD, NEW])
def test_the_password_is_changed_with_the_old_one_and_never_without(confirmed: Visitor, old: str) -> None:
    assert change_password(confirmed, old, NEW).status_code in (200, 400)
    assert Visitor().sign_in("ada", NEW).status_code == 401
    assert change_password(confirmed, PASSWORD, NEW).status_code in (302, 303)
    assert Visitor().sign_in("ada", PASSWORD).status_code == 401
    assert Visitor().sign_in("ada", NEW).status_code == 303


@pytest.mark.asvs("6.2.1", "6.2.4", "6.2.11")
@pytest.mark.parametrize(
    "new",
    [
        pytest.param("fourteen chars", id="fourteen characters"),
        pytest.param("qwerty123456789", id="a common one"),
        pytest.param("example-ada-2026", id="the site, the person and a year"),
        pytest.param("ada@example.com!", id="the person's address"),
    ],
)
def test_a_weak_password_is_refused_on_the_page_too(confirmed: Visitor, new: str) -> None:
    assert change_password(confirmed, PASSWORD, new).status_code in (200, 400)
    assert Visitor().sign_in("ada", PASSWORD).status_code == 303


@pytest.mark.asvs("7.4.3", "6.3.7")
def test_a_changed_password_ends_all_other_sign_ins_and_is_told_by_mail(confirmed: Visitor) -> None:
    other = Visitor()
    other.sign_in("ada", PASSWORD)
    elsewhere, here = _cookies(other), _cookies(confirmed)
    delivered()
    change_password(confirmed, PASSWORD, NEW)
    assert (_lives(elsewhere), _lives(here), _lives(_cookies(confirmed))) == ({False}, {False}, {True})
    [letter] = delivered()
    assert letter.to == ["ada@example.com"]


@pytest.mark.asvs("7.5.1", "7.5.3")
def test_nothing_about_signing_in_is_shown_or_changed_before_one_confirms(signed_in: Visitor) -> None:
    sensitive = [path for path in routes() if SENSITIVE.match(path)]
    assert len(sensitive) >= 8
    for path in sensitive:
        for response in (signed_in.get(path), signed_in.send(path, {"password1": NEW}, form_of="/")):
            assert response.status_code in (302, 303, 404), path
            goal = response.get("Location") or "/account/reauthenticate/"
            assert goal.startswith("/account/reauthenticate/"), path


@pytest.mark.asvs("7.5.1")
def test_an_address_is_neither_added_nor_taken_away_before_one_confirms(
    signed_in: Visitor, ada: User
) -> None:
    def kept() -> list[tuple[str, bool]]:
        return sorted(EmailAddress.objects.filter(user=ada).values_list("email", "primary"))

    before, new = kept(), {"email": "mallory@example.net"}
    old = {"email": "ada@example.com"}
    for fields in (
        new | {"action_add": ""},
        old | {"action_remove": ""},
        old | {"action_primary": ""},
    ):
        response = signed_in.send("/account/email/", fields, form_of="/")
        assert response["Location"].startswith("/account/reauthenticate/")
    assert kept() == before
    assert User.objects.get().email == "ada@example.com"


@pytest.mark.asvs("7.5.2")
def test_ending_other_sign_ins_on_the_page_takes_a_confirmation(signed_in: Visitor, ada: User) -> None:
    Visitor().sign_in("ada", PASSWORD)
    assert signed_in.send("/account/sessions/", {})["Location"].startswith("/account/reauthenticate/")
    assert len(sign_ins.listing(str(ada.pk))) == 2
    signed_in.send("/account/reauthenticate/", {"password": PASSWORD})
    signed_in.send("/account/sessions/", {})
    [left] = sign_ins.listing(str(ada.pk))
    assert left.hub_hash == fingerprint(signed_in.cookie(HUB_COOKIE))


@pytest.mark.asvs("6.3.7")
def test_a_factor_that_is_taken_away_is_told_by_mail(signed_in: Visitor, ada: User) -> None:
    TOTP.activate(ada, SECRET)
    signed_in.send("/account/reauthenticate/factor/", {"code": steady_code()})
    delivered()
    assert signed_in.send("/account/2fa/totp/deactivate/", {}).status_code in (302, 303)
    assert [letter.to for letter in delivered()] == [["ada@example.com"]]
