"""Signing in as somebody else, for support: visible, short, and with no way to act as them where it would last."""

from __future__ import annotations

import json
import time
from typing import Any, cast

import msgspec
import pytest
from django.conf import settings
from sso_client.record import Session, decode

from accounts.models import User
from sso import audit, sign_in_store, sign_ins
from sso.audit.models import AuditEvent
from sso.edge.remembered import Remembered
from sso.keys import fingerprint
from sso.redis import client as redis_client
from sso.redis import keys
from tests.support.admins import PASSWORD, administrator, signed_in_with_code
from tests.support.page_visitor import Page, Visitor

pytestmark = pytest.mark.django_db(transaction=True)

REASON = "Ticket 4711: cannot see the shop"


@pytest.fixture
def ada() -> User:
    return User.objects.create_user("ada", "ada@example.com", PASSWORD, name="Ada Lovelace")


@pytest.fixture
def root() -> User:
    return administrator()


@pytest.fixture
def visitor(root: User) -> Visitor:
    return signed_in_with_code(Visitor())


def address(person: User) -> str:
    return f"/admin/accounts/user/{person.pk}/sign-in-as/"


def sign_in_as(visitor: Visitor, person: User, **fields: str) -> int:
    sent = {"reason": REASON, "minutes": "15", **fields}
    return int(visitor.send(address(person), sent).status_code)


def published(visitor: Visitor) -> dict[str, Any]:
    """The record that relying apps read with this browser's shared cookie."""
    raw = redis_client().get(keys().session(fingerprint(visitor.cookie(settings.SSO_COOKIE_NAME))))
    return dict(json.loads(raw or b"{}"))


def test_apps_are_told_who_it_really_is_and_how_long_it_lasts(
    visitor: Visitor, root: User, ada: User
) -> None:
    assert sign_in_as(visitor, ada) == 303
    record = published(visitor)
    assert record["user"]["id"] == str(ada.pk)
    assert record["act"] == {"id": str(root.pk), "username": "root"}
    assert 0 < int(str(record["exp"])) - time.time() <= 15 * 60
    told = Remembered(cast(Session, decode(msgspec.json.encode(record), time.time()))).body(record["exp"])
    assert json.loads(told)["act"] == record["act"]


def test_every_page_says_so_and_offers_to_stop(visitor: Visitor, ada: User) -> None:
    sign_in_as(visitor, ada)
    html = visitor.get("/").content.decode()
    assert "you are signed in as <b>Ada Lovelace</b>" in html
    assert visitor.send("/logout/", {}, form_of="/").status_code == 303
    assert visitor.get("/")["Location"] == "/login/"


def test_it_takes_the_place_of_the_administrators_own_sign_in(
    visitor: Visitor, root: User, ada: User
) -> None:
    sign_in_as(visitor, ada)
    assert sign_ins.listing(str(root.pk)) == []


def test_account_pages_and_the_admin_stay_closed(visitor: Visitor, ada: User) -> None:
    sign_in_as(visitor, ada)
    for path in (
        "/account/",
        "/account/password/",
        "/account/sessions/",
        "/email/undo/",
        "/password/reset/",
        "/admin/",
        "/api/sessions",
    ):
        answer = visitor.get(path)
        assert answer.status_code == 403, path
        assert "closed_to_support" in answer.content.decode() or "Closed while" in answer.content.decode()


def test_the_person_was_not_here_and_sees_it_in_their_list(visitor: Visitor, ada: User) -> None:
    sign_in_as(visitor, ada)
    ada.refresh_from_db()
    assert ada.last_login is None
    own = Visitor(address="203.0.113.9")
    own.sign_in("ada", PASSWORD)
    assert "root, for support" in own.get("/account/sessions/").content.decode()


def test_the_reason_and_both_people_are_in_the_audit_trail(visitor: Visitor, root: User, ada: User) -> None:
    sign_in_as(visitor, ada)
    [row] = AuditEvent.objects.filter(event=audit.Event.IMPERSONATION_BEGAN)
    assert (row.actor_id, row.subject_id) == (str(root.pk), str(ada.pk))
    assert row.details["reason"] == REASON


@pytest.mark.parametrize("fields", [{"reason": ""}, {"reason": "why"}, {"minutes": "1440"}, {"minutes": "x"}])
def test_without_a_reason_or_with_a_time_of_ones_own_nothing_happens(
    visitor: Visitor, ada: User, fields: dict[str, str]
) -> None:
    assert sign_in_as(visitor, ada, **fields) == 400
    assert "act" not in published(visitor)


def test_nobody_becomes_an_administrator_or_somebody_disabled(visitor: Visitor, ada: User) -> None:
    boss = administrator("boss")
    for person in (boss, ada):
        User.objects.filter(pk=ada.pk).update(is_active=False)
        assert sign_in_as(visitor, person) == 403
    assert "act" not in published(visitor)


def test_without_the_permission_it_is_refused_and_not_offered(ada: User) -> None:
    administrator("eve", "accounts.view_user", "accounts.change_user")
    eve = signed_in_with_code(Visitor(), "eve")
    assert sign_in_as(eve, ada) == 403
    assert "sign-in-as" not in eve.get(f"/admin/accounts/user/{ada.pk}/change/").content.decode()


def test_whoever_is_somebody_else_becomes_nobody_further(visitor: Visitor, ada: User) -> None:
    bob = User.objects.create_user("bob", "bob@example.com", PASSWORD)
    token = Page(visitor.get(address(bob)).content.decode()).value("csrfmiddlewaretoken")
    sign_in_as(visitor, ada)
    sent = {"reason": REASON, "minutes": "15", "csrfmiddlewaretoken": token}
    assert visitor.post(address(bob), sent).status_code == 403
    assert published(visitor)["user"]["username"] == "ada"


@pytest.mark.parametrize("change", [{"is_active": False}, {"is_staff": False}])
def test_it_ends_with_the_administrators_rights(
    visitor: Visitor, root: User, ada: User, change: dict[str, bool]
) -> None:
    sign_in_as(visitor, ada)
    User.objects.filter(pk=root.pk).update(**change)
    assert published(visitor) == {}
    assert sign_in_store.sids_of(str(ada.pk)) == []


def test_deleting_the_administrator_ends_it_too(visitor: Visitor, root: User, ada: User) -> None:
    sign_in_as(visitor, ada)
    root.delete()
    assert published(visitor) == {}


def test_it_asks_for_fresh_proof(visitor: Visitor, root: User, ada: User) -> None:
    [sid] = sign_in_store.sids_of(str(root.pk))
    redis_client().hset(keys().signin(sid), sign_in_store.FIELDS["auth_time"], str(int(time.time()) - 301))
    answer = visitor.get(address(ada))
    assert answer.status_code == 303
    assert answer["Location"].startswith("/account/reauthenticate/")
