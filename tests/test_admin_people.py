"""People in the admin: what administrators can do to them, and what nobody can do to administrators."""

from __future__ import annotations

import json
from typing import Any

import bcrypt
import pytest
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal.auth import TOTP
from argon2 import PasswordHasher
from django.contrib.auth.models import Group, Permission
from django.core.files.uploadedfile import SimpleUploadedFile

from accounts.models import User
from accounts.people_files import stored_hash
from sso import audit, sign_ins
from sso.audit.models import AuditEvent
from tests.support.admins import PASSWORD, SECRET, administrator, signed_in_with_code
from tests.support.mailbox import delivered
from tests.support.page_visitor import Page, Visitor

pytestmark = pytest.mark.django_db(transaction=True)

LIST = "/admin/accounts/user/"
REASON = {"reason": "Ticket 4711: lost the phone"}


@pytest.fixture
def ada() -> User:
    return User.objects.create_user("ada", "ada@example.com", PASSWORD, name="Ada Lovelace")


@pytest.fixture
def root() -> Visitor:
    administrator()
    return signed_in_with_code(Visitor())


@pytest.fixture
def clerk() -> Visitor:
    """Staff who may look after people, and nothing else."""
    names = ("view_user", "change_user", "add_user", "delete_user", "import_user", "export_user")
    administrator("clerk", *(f"accounts.{name}" for name in names))
    return signed_in_with_code(Visitor(), "clerk")


def page_of(person: User) -> str:
    return f"{LIST}{person.pk}/change/"


def chosen(action: str, *people: User, confirmed: bool = True) -> dict[str, Any]:
    fields = {"action": action, "_selected_action": [str(person.pk) for person in people]}
    return {**fields, **({"confirmed": "yes"} if confirmed else {})}


def form_of(visitor: Visitor, address: str) -> dict[str, str]:
    """What a browser would send back unchanged."""
    page = Page(visitor.get(address).content.decode())
    named = {e.attributes["name"]: e for e in page.all("input") if e.attributes.get("name")}
    fields = {}
    for name, element in named.items():
        kind = element.attributes.get("type")
        if kind not in ("checkbox", "radio", "submit") or "checked" in element.attributes:
            fields[str(name)] = element.attributes.get("value") or ("on" if kind == "checkbox" else "")
    return {n: v for n, v in fields.items() if not n.startswith("_")}


# -- for one


def test_a_new_person_gets_a_link_and_the_administrator_no_password(root: Visitor) -> None:
    fields = {
        "username": "eve",
        "email": "eve@example.com",
        "name": "Eve",
        "send_link": "on",
        "_save": "Save",
    }
    assert root.send(f"{LIST}add/", fields).status_code == 302
    eve = User.objects.get(username="eve")
    assert not eve.has_usable_password()
    [letter] = delivered()
    assert letter.to == ["eve@example.com"]
    assert "/password/reset/link/" in letter.body


def test_a_name_that_is_taken_is_said_at_its_field(root: Visitor, ada: User) -> None:
    answer = root.send(f"{LIST}add/", {"username": "Ada", "email": "other@example.com", "_save": "Save"})
    assert answer.status_code == 200
    assert "already exists" in answer.content.decode()


def test_switching_somebody_off_ends_their_sessions_at_once(root: Visitor, ada: User) -> None:
    Visitor(address="203.0.113.9").sign_in("ada", PASSWORD)
    fields = form_of(root, page_of(ada))
    fields.pop("is_active")
    assert root.post(page_of(ada), {**fields, "_save": "Save"}).status_code == 302
    assert sign_ins.listing(str(ada.pk)) == []


def test_second_factors_go_with_a_reason_and_every_session_ends(root: Visitor, ada: User) -> None:
    Visitor(address="203.0.113.9").sign_in("ada", PASSWORD)
    TOTP.activate(ada, SECRET)
    assert root.send(f"{LIST}{ada.pk}/reset-factors/", {"reason": ""}).status_code == 400
    assert Authenticator.objects.filter(user=ada).exists()
    assert root.send(f"{LIST}{ada.pk}/reset-factors/", REASON).status_code == 303
    assert not Authenticator.objects.filter(user=ada).exists()
    assert sign_ins.listing(str(ada.pk)) == []
    reasons = [r.details.get("reason") for r in AuditEvent.objects.filter(event=audit.Event.FACTOR_REMOVED)]
    assert REASON["reason"] in reasons
    assert [letter.to for letter in delivered()] == [["ada@example.com"]]


def test_a_reset_link_goes_to_the_person_alone(root: Visitor, ada: User) -> None:
    answer = root.send(f"{LIST}{ada.pk}/reset-link/", {})
    assert answer.status_code == 303
    assert "key=" not in root.get(page_of(ada)).content.decode()
    assert [letter.to for letter in delivered()] == [["ada@example.com"]]


def test_an_invitation_needs_registration_and_then_is_mailed(root: Visitor, settings: Any) -> None:
    assert "SSO_REGISTRATION is off" in root.get(f"{LIST}invite/").content.decode()
    settings.SSO_REGISTRATION = "invitation"
    assert root.send(f"{LIST}invite/", {"email": "Zoe@Example.com"}).status_code == 303
    assert [letter.to for letter in delivered()] == [["zoe@example.com"]]


def test_one_page_tells_how_where_and_what_and_no_hash(root: Visitor, ada: User) -> None:
    phone = Visitor(address="198.51.100.77")
    phone.sign_in("ada", PASSWORD)
    html = root.get(page_of(ada)).content.decode()
    assert "Password, kept as argon2" in html
    assert "198.51.100.77" in html
    assert "signed_in" in html or "signed in" in html
    assert ada.password not in html
    assert "argon2$" not in html


# -- for many


@pytest.mark.parametrize("action", ["disable", "end_sessions", "send_reset"])
def test_an_act_for_many_asks_first(root: Visitor, ada: User, action: str) -> None:
    Visitor(address="203.0.113.9").sign_in("ada", PASSWORD)
    answer = root.send(LIST, chosen(action, ada, confirmed=False))
    assert answer.status_code == 200
    assert "ada@example.com" in answer.content.decode()
    assert len(sign_ins.listing(str(ada.pk))) == 1
    assert delivered() == []


def test_disabling_many_ends_their_sessions_and_spares_oneself(root: Visitor, ada: User) -> None:
    Visitor(address="203.0.113.9").sign_in("ada", PASSWORD)
    me = User.objects.get(username="root")
    root.send(LIST, chosen("disable", ada, me))
    ada.refresh_from_db()
    me.refresh_from_db()
    assert (ada.is_active, me.is_active) == (False, True)
    assert sign_ins.listing(str(ada.pk)) == []


# -- what nobody can do to administrators


def test_a_clerk_changes_people_but_no_administrator(clerk: Visitor, ada: User) -> None:
    boss = administrator("boss")
    assert 'name="email"' in clerk.get(page_of(ada)).content.decode()
    assert 'name="email"' not in clerk.get(page_of(boss)).content.decode()
    assert clerk.post(page_of(boss), {"email": "mine@evil.test", "_save": "Save"}).status_code == 403
    for act in ("reset-link", "reset-factors"):
        assert clerk.get(f"{LIST}{boss.pk}/{act}/").status_code == 403
    assert clerk.get(f"{LIST}{boss.pk}/delete/").status_code == 403
    clerk.send(LIST, chosen("disable", boss, ada))
    boss.refresh_from_db()
    ada.refresh_from_db()
    assert (boss.is_active, ada.is_active) == (True, False)


def test_a_clerk_makes_nobody_an_administrator(clerk: Visitor, ada: User) -> None:
    powerful = Group.objects.create(name="powerful")
    powerful.permissions.add(Permission.objects.get(codename="delete_user"))
    fields = form_of(clerk, page_of(ada))
    sent = {"is_staff": "on", "is_superuser": "on", "groups": str(powerful.pk), "_save": "Save"}
    clerk.post(page_of(ada), {**fields, **sent})
    ada.refresh_from_db()
    assert (ada.is_staff, ada.is_superuser, ada.groups.exists()) == (False, False, False)


def test_a_clerk_cannot_take_away_a_group_they_cannot_give(clerk: Visitor, ada: User) -> None:
    powerful = Group.objects.create(name="powerful")
    powerful.permissions.add(Permission.objects.get(codename="delete_user"))
    ada.groups.add(powerful)
    clerk.post(page_of(ada), {**form_of(clerk, page_of(ada)), "_save": "Save"})
    assert list(ada.groups.all()) == [powerful]


@pytest.mark.parametrize("permission", ["view_user", "change_user", "add_user", "delete_user"])
def test_without_its_permission_a_view_is_closed(ada: User, permission: str) -> None:
    needs = {
        "view_user": [LIST, page_of(ada)],
        "change_user": [f"{LIST}{ada.pk}/reset-link/", f"{LIST}{ada.pk}/reset-factors/"],
        "add_user": [f"{LIST}add/", f"{LIST}invite/"],
        "delete_user": [f"{LIST}{ada.pk}/delete/"],
    }
    others = [f"accounts.{name}" for name in needs if name != permission and permission != "view_user"]
    administrator("clerk", *others, "auth.view_group")
    visitor = signed_in_with_code(Visitor(), "clerk")
    for address in needs[permission]:
        assert visitor.get(address).status_code == 403, address
    for address in (f"{LIST}import/", f"{LIST}export/", f"{LIST}{ada.pk}/end-sessions/"):
        assert visitor.get(address).status_code == 403, address


# -- files


def brought_in(visitor: Visitor, rows: str, kind: str = "csv") -> tuple[str, Any]:
    """The page that shows what would happen, and the answer to confirming it."""
    formats = Page(visitor.get(f"{LIST}import/").content.decode())
    number = {o.text: o.attributes["value"] for o in formats.all("option")}[kind]
    token = formats.value("csrfmiddlewaretoken")
    file = SimpleUploadedFile(f"people.{kind}", rows.encode())
    sent = {"csrfmiddlewaretoken": token, "format": number, "import_file": file, "resource": ""}
    looked: Any = visitor.post(f"{LIST}import/", sent)
    html = looked.content.decode()
    fields = {
        e.attributes["name"]: e.attributes.get("value") or "" for e in Page(html).all("input", type="hidden")
    }
    return html, visitor.post(f"{LIST}process_import/", fields)  # type: ignore[arg-type]


HASHES = {
    "argon2": PasswordHasher(time_cost=1, memory_cost=1024, parallelism=1).hash(PASSWORD),
    "bcrypt": bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode().replace("$2b$", "$2y$"),
}


@pytest.mark.parametrize("kind", sorted(HASHES))
def test_people_come_with_the_passwords_they_have(root: Visitor, kind: str) -> None:
    head = "username,email,name,is_active,groups,password_hash"
    rows = f'{head}\nZoe,Zoe@Example.com,Zoë,1,"staff,wiki","{HASHES[kind]}"\n'
    looked, _ = brought_in(root, rows)
    assert HASHES[kind] not in looked
    zoe = User.objects.get(username="zoe")
    assert sorted(zoe.groups.values_list("name", flat=True)) == ["staff", "wiki"]
    assert Visitor(address="203.0.113.9").sign_in("zoe", PASSWORD)["Location"] == "/"
    zoe.refresh_from_db()
    assert zoe.password.startswith("argon2$"), "made anew with the first sign-in"


def test_a_look_changes_nothing_and_names_what_is_wrong(root: Visitor) -> None:
    rows = "username,email,password_hash\nzoe,zoe@example.com,plain-text-password\n"
    looked, _ = brought_in(root, rows)
    assert "not a password hash" in looked
    assert "plain-text-password" not in looked
    assert not User.objects.filter(username="zoe").exists()


def test_a_file_raises_nobody(clerk: Visitor) -> None:
    boss = administrator("boss")
    powerful = Group.objects.create(name="powerful")
    powerful.permissions.add(Permission.objects.get(codename="delete_user"))
    brought_in(clerk, "username,email,is_superuser,groups\nmole,mole@example.com,1,powerful\n")
    brought_in(clerk, f"username,email,password_hash\nboss,mine@evil.test,{HASHES['argon2']}\n")
    boss.refresh_from_db()
    assert boss.email == "boss@example.com"
    assert not User.objects.filter(is_superuser=True).exclude(username="boss").exists()
    assert not powerful.user_set.exists()


def test_a_file_takes_no_group_away_that_it_could_not_give(clerk: Visitor, ada: User) -> None:
    powerful, plain = Group.objects.create(name="powerful"), Group.objects.create(name="plain")
    powerful.permissions.add(Permission.objects.get(codename="delete_user"))
    ada.groups.add(powerful, plain)
    brought_in(clerk, "username,email,groups\nada,ada@example.com,\n")
    assert list(ada.groups.all()) == [powerful]


def exported(visitor: Visitor, resource: str, kind: str = "json") -> Any:
    page = Page(visitor.get(f"{LIST}export/").content.decode())
    number = {o.text: o.attributes["value"] for o in page.all("option")}[kind]
    names = [e.attributes["name"] for e in page.all("input", type="checkbox")]
    fields = {str(name): "on" for name in names}
    sent = {
        "csrfmiddlewaretoken": page.value("csrfmiddlewaretoken"),
        "format": number,
        "resource": resource,
        **fields,
    }
    return visitor.post(f"{LIST}export/", sent)


def test_a_clerk_gets_people_without_hashes(clerk: Visitor, ada: User) -> None:
    for resource in ("0", "1", ""):
        answer = exported(clerk, resource)
        assert ada.password not in answer.content.decode()
    rows = json.loads(exported(clerk, "").content)
    assert {row["username"] for row in rows} >= {"ada"}


def test_a_spreadsheet_runs_nothing_of_a_name(clerk: Visitor) -> None:
    User.objects.create_user("mallory", "mallory@example.com", name="=HYPERLINK(1)")
    answer = exported(clerk, "", "csv")
    assert ",=HYPERLINK" not in answer.content.decode()
    assert "HYPERLINK" in answer.content.decode()


@pytest.mark.parametrize(
    "text", ["plain", "md5$x$y", "$argon2id$", "argon2$broken", "$2y$04$short", "!unusable"]
)
def test_what_cannot_be_checked_is_no_hash(text: str) -> None:
    with pytest.raises(ValueError, match="not a password hash") as refusal:
        stored_hash(text)
    assert text not in str(refusal.value)
