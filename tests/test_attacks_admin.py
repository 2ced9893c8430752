"""Attacks on the administration: by staff with few rights, with a stolen session, and out of somebody else's name."""

from __future__ import annotations

import json
import time
from typing import Any
from urllib.parse import quote

import pytest
from django.conf import settings
from django.contrib.auth.models import Group, Permission

from accounts.models import User
from accounts.people_files import BriefStorage
from sso import sign_in_store, sign_ins
from sso.audit.models import AuditEvent
from sso.models import RelyingApp
from sso.redis import client as redis_client
from sso.redis import keys
from sso.registration import register
from tests.support.admins import PASSWORD, administrator, signed_in_with_code
from tests.support.mailbox import delivered
from tests.support.page_visitor import Page, Visitor
from tests.test_admin_people import HASHES, LIST, brought_in, chosen, form_of, page_of
from tests.test_impersonation import sign_in_as

pytestmark = pytest.mark.django_db(transaction=True)

APPS, GROUPS = "/admin/sso/relyingapp/", "/admin/auth/group/"


@pytest.fixture
def ada() -> User:
    return User.objects.create_user("ada", "ada@example.com", PASSWORD, name="Ada Lovelace")


@pytest.fixture
def wiki() -> RelyingApp:
    app = RelyingApp(name="wiki", origins=["https://wiki.example.com"])
    register(app)
    return app


@pytest.fixture
def root() -> Visitor:
    administrator()
    return signed_in_with_code(Visitor())


@pytest.fixture
def stale(root: Visitor) -> Visitor:
    """A superuser's browser that somebody else found open, six minutes after the sign-in."""
    [sid] = sign_in_store.sids_of(str(User.objects.get(username="root").pk))
    long_ago = str(int(time.time()) - 360)
    redis_client().hset(keys().signin(sid), sign_in_store.FIELDS["auth_time"], long_ago)
    return root


def staff(*permissions: str) -> Visitor:
    administrator("clerk", *permissions)
    return signed_in_with_code(Visitor(), "clerk")


# -- what is not shown


@pytest.mark.parametrize(
    "lookup", ["password__startswith", "password__regex", "long_password", "last_login__gte"]
)
def test_nobody_guesses_a_hash_letter_by_letter_by_who_is_found(ada: User, lookup: str) -> None:
    looker = staff("accounts.view_user")
    assert looker.get(f"{LIST}?{lookup}={quote(ada.password[:20])}").status_code == 400


def test_nobody_guesses_the_hash_of_an_apps_secret(wiki: RelyingApp) -> None:
    looker = staff("sso.view_relyingapp")
    for lookup in ("secret_hashes__icontains", "access__icontains", "client_id__startswith"):
        assert looker.get(f"{APPS}?{lookup}=a").status_code == 400


def test_the_lists_own_filters_still_work(ada: User) -> None:
    looker = staff("accounts.view_user")
    group = Group.objects.create(name="wiki")
    ada.groups.add(group)
    for query in (
        "is_active__exact=1",
        "is_staff__exact=0",
        "factor=no",
        f"groups__id__exact={group.pk}",
        "q=ada",
    ):
        assert "ada@example.com" in looker.get(f"{LIST}?{query}").content.decode(), query


# -- an open browser, found


@pytest.mark.parametrize("act", ["delete_selected", "disable", "enable", "end_sessions", "send_reset"])
def test_an_act_for_many_wants_proof_that_it_is_them(stale: Visitor, ada: User, act: str) -> None:
    Visitor(address="203.0.113.9").sign_in("ada", PASSWORD)
    answer = stale.send(LIST, {**chosen(act, ada), "post": "yes"})
    assert answer["Location"].startswith("/account/reauthenticate/")
    ada.refresh_from_db()
    assert ada.is_active
    assert len(sign_ins.listing(str(ada.pk))) == 1
    assert delivered() == []


def test_neither_apps_nor_groups_go_without_proof(stale: Visitor, wiki: RelyingApp) -> None:
    group = Group.objects.create(name="wiki")
    chosen_app: Any = {"action": "delete_selected", "_selected_action": [str(wiki.pk)], "post": "yes"}
    chosen_group: Any = {**chosen_app, "_selected_action": [str(group.pk)]}
    for path, fields in (
        (APPS, chosen_app),
        (GROUPS, chosen_group),
        (f"{APPS}{wiki.pk}/delete/", {"post": "yes"}),
        (f"{GROUPS}{group.pk}/delete/", {"post": "yes"}),
    ):
        assert stale.send(path, fields, form_of=LIST)["Location"].startswith("/account/reauthenticate/"), path
    assert RelyingApp.objects.exists()
    assert Group.objects.exists()


@pytest.mark.parametrize("field", ["email", "groups", "is_staff"])
def test_what_opens_doors_is_not_given_without_proof(stale: Visitor, ada: User, field: str) -> None:
    group = Group.objects.create(name="finance")
    given = {"email": "mine@evil.test", "groups": str(group.pk), "is_staff": "on"}[field]
    answer = stale.post(page_of(ada), {**form_of(stale, page_of(ada)), field: given, "_save": "Save"})
    assert answer.status_code == 200
    assert "confirm it is you" in answer.content.decode()
    ada.refresh_from_db()
    assert (ada.email, ada.groups.exists(), ada.is_staff) == ("ada@example.com", False, False)


def test_no_group_gets_permissions_without_proof(stale: Visitor) -> None:
    group = Group.objects.create(name="wiki")
    every: Any = [str(pk) for pk in Permission.objects.values_list("pk", flat=True)]
    answer = stale.send(
        f"{GROUPS}{group.pk}/change/", {"name": "wiki", "permissions": every, "_save": "Save"}
    )
    assert "confirm it is you" in answer.content.decode()
    assert not group.permissions.exists()


def test_no_app_is_made_or_led_elsewhere_without_proof(stale: Visitor, wiki: RelyingApp) -> None:
    page = f"{APPS}{wiki.pk}/change/"
    fields = {**form_of(stale, page), "token_auth_method": "client_secret_basic", "_save": "Save"}
    for path, name in ((page, "wiki"), (f"{APPS}add/", "evil")):
        answer = stale.send(path, {**fields, "name": name, "origins": "https://evil.example.com"})
        assert "confirm it is you" in answer.content.decode()
    assert [app.origins for app in RelyingApp.objects.all()] == [["https://wiki.example.com"]]


def test_no_rule_opens_an_app_without_proof(stale: Visitor, wiki: RelyingApp) -> None:
    rules = {"default": "public", "rule-TOTAL_FORMS": "0", "rule-INITIAL_FORMS": "0"}
    answer = stale.send(f"{APPS}{wiki.pk}/rules/", rules)
    assert answer.status_code == 400
    assert "confirm it is you" in answer.content.decode()
    wiki.refresh_from_db()
    assert wiki.as_app().access.default == "signed_in"


# -- files


def test_a_clerks_file_takes_over_nobody(ada: User) -> None:
    clerk = staff("accounts.import_user", "accounts.view_user")
    looked, _ = brought_in(clerk, f'username,email,password_hash\nada,ada@example.com,"{HASHES["argon2"]}"\n')
    assert "only a superuser" in looked
    before, _ = ada.password, ada.refresh_from_db()
    assert ada.password == before


def test_a_clerks_file_makes_no_groups_unless_they_may(ada: User) -> None:
    clerk = staff("accounts.import_user", "accounts.view_user")
    looked, _ = brought_in(clerk, "username,email,groups\nzoe,zoe@example.com,finance\n")
    assert "there is no group finance" in looked
    assert not Group.objects.exists()


def test_a_file_that_nobody_confirms_is_soon_forgotten(root: Visitor) -> None:
    formats = Page(root.get(f"{LIST}import/").content.decode())
    assert formats.all("option")
    storage = BriefStorage()
    storage.save(b"hashes")
    [key] = redis_client().keys(f"{keys().prefix}cache*{storage.name}")
    assert 0 < redis_client().ttl(key) <= 15 * 60


# -- in somebody else's name


def test_support_ends_nothing_of_the_persons_own(root: Visitor, ada: User) -> None:
    Visitor(address="203.0.113.9").sign_in("ada", PASSWORD)
    sign_in_as(root, ada)
    token = json.loads(root.get("/api/csrf").content)["csrf_token"]
    sent = {"origin": str(root.hub), "x-csrf-token": token}
    answer = root.client.delete("/api/session?everywhere=1", secure=True, headers=sent)
    assert (answer.status_code, b"closed_to_support" in answer.content) == (403, True)
    assert len(sign_ins.listing(str(ada.pk))) == 2


def test_the_trail_names_the_administrator_whatever_they_ask(root: Visitor, ada: User) -> None:
    sign_in_as(root, ada)
    boss = str(User.objects.get(username="root").pk)
    token = json.loads(root.get("/api/csrf").content)["csrf_token"]
    sent = {"origin": str(root.hub), "x-csrf-token": token}
    assert root.client.delete("/api/session", secure=True, headers=sent).status_code == 204
    rows = AuditEvent.objects.filter(event__in=["sign_in_replaced", "impersonation_ended", "signed_out"])
    assert {row.actor_id for row in rows} == {boss}


def test_support_ends_with_the_administrators_own_sign_ins(root: Visitor, ada: User) -> None:
    sign_in_as(root, ada)
    sign_ins.end_all(str(User.objects.get(username="root").pk))
    assert sign_ins.listing(str(ada.pk)) == []


def test_support_ends_with_the_password_it_was_begun_with(root: Visitor, ada: User) -> None:
    sign_in_as(root, ada)
    boss = User.objects.get(username="root")
    boss.name = "Somebody renamed"
    boss.save()
    assert len(sign_ins.listing(str(ada.pk))) == 1
    boss.set_password("another battery staple horse")
    boss.save()
    assert sign_ins.listing(str(ada.pk)) == []


@pytest.mark.parametrize("by", ["own", "member", "group"])
def test_support_ends_with_the_permission(ada: User, by: str) -> None:
    helper = staff("accounts.view_user", "sso.sign_in_as")
    clerk = User.objects.get(username="clerk")
    if by != "own":
        helpers = Group.objects.create(name="helpers")
        helpers.permissions.set(clerk.user_permissions.all())
        clerk.groups.add(helpers)
        clerk.user_permissions.clear()
    assert sign_in_as(helper, ada) == 303
    if by == "own":
        clerk.user_permissions.clear()
    elif by == "member":
        clerk.groups.clear()
    else:
        clerk.groups.get().permissions.clear()
    assert sign_ins.listing(str(ada.pk)) == []


# -- what leaves no mark


def test_whoever_sends_the_doctor_out_stands_in_the_trail(wiki: RelyingApp) -> None:
    medic = staff("sso.view_doctor")
    medic.send("/admin/doctor/", {"app": "wiki"})
    [row] = AuditEvent.objects.filter(event="admin_act")
    assert (row.actor_name, row.app, row.details) == ("clerk", "wiki", {"what": "doctor", "object": "wiki"})


# -- what makes no sense


@pytest.mark.parametrize("act", ["to-sign-in-as", "to-reset-link", "to-reset-factors", "to-end-sessions"])
@pytest.mark.parametrize("thing", ["1", "abc", "%00", "..%2f..", "a%0d%0ab"])
def test_a_button_of_nobody_is_no_page(root: Visitor, act: str, thing: str) -> None:
    assert root.get(f"{LIST}{thing}/{act}/").status_code in (403, 404)


@pytest.mark.parametrize("act", ["to-rules", "to-snippets", "to-secrets", "to-doctor"])
def test_a_button_of_no_app_is_no_page(root: Visitor, act: str) -> None:
    for thing in ("abc", "%00", "9" * 30, "..%2f.."):
        assert root.get(f"{APPS}{thing}/{act}/").status_code in (303, 404), thing


def test_odd_numbers_are_refused_and_nothing_breaks(root: Visitor, wiki: RelyingApp) -> None:
    for page in ("abc", "99999", "-1"):
        assert root.get(f"/admin/search/?s=a&page={page}").status_code == 400
    for count in ("abc", "-1", "²", "9999", ""):
        sent = {"rule-TOTAL_FORMS": count, "one_more": "yes"}
        assert root.send(f"{APPS}{wiki.pk}/rules/", sent).status_code == 400, count


def test_an_address_that_acts_is_no_redirect_uri(root: Visitor) -> None:
    sent = {"name": "evil", "origins": "https://evil.example.com", "token_auth_method": "client_secret_basic"}
    for field in ("redirect_uris", "launch_url"):
        acting = {field: "javascript:alert(1)", "launch_url": "javascript:///%0aalert(1)"}
        assert root.send(f"{APPS}add/", {**sent, **acting, "_save": "Save"}).status_code == 200
    assert not RelyingApp.objects.exists()


def test_the_auth_server_itself_is_no_app(root: Visitor) -> None:
    sent = {"name": "hub", "origins": str(settings.SSO_SITES.primary.hub), "_save": "Save"}
    answer = root.send(f"{APPS}add/", {**sent, "token_auth_method": "client_secret_basic"})
    assert "is the auth server itself" in answer.content.decode()
