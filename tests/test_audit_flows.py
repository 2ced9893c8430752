"""Real flows through real pages, and what the trail says of them."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from allauth.mfa.totp.internal.auth import TOTP
from django.contrib.auth.models import Group
from django.core.management import call_command
from django.test import Client

from accounts.mail import outbox
from accounts.models import User
from authserver.logs import OneLine
from sso import audit
from sso.audit.models import AuditEvent
from sso.audit.verifying import verify
from sso.models import RelyingApp
from tests.support.admins import SECRET, administrator, signed_in_with_code
from tests.support.page_visitor import Visitor
from tests.test_api_steps import code_now

pytestmark = pytest.mark.django_db(transaction=True)
PASSWORD = "seven brave kettles sing"


@pytest.fixture
def ada() -> User:
    return User.objects.create_user("ada", "ada@example.com", PASSWORD)


@pytest.fixture
def visitor(ada: User) -> Visitor:
    """Somebody whose account is there already; what made it is forgotten."""
    return Visitor()


def names() -> list[str]:
    return list(AuditEvent.objects.order_by("seq").values_list("event", flat=True))


def last(name: str) -> AuditEvent:
    found = AuditEvent.objects.filter(event=name).order_by("-seq").first()
    assert found is not None, f"no {name} in {names()}"
    return found


def sign_in(visitor: Visitor, name: str = "ada", password: str = PASSWORD) -> Any:
    return visitor.send("/login/", {"username": name, "password": password})


def confirm(visitor: Visitor) -> None:
    """Sensitive changes are for who has just proved that it is them."""
    visitor.send("/account/reauthenticate/", {"password": PASSWORD})


def test_signing_in_is_recorded_with_who_how_and_from_where(visitor: Visitor, ada: User) -> None:
    answer = sign_in(visitor)
    row = last("signed_in")
    assert (row.actor_id, row.actor_name, row.subject_name) == (str(ada.pk), "ada", "ada")
    assert (row.details["amr"], row.details["new_device"], row.address) == ("pwd", False, "203.0.113.7")
    assert row.sid
    assert row.request_id == answer.headers["X-Request-ID"]


def test_a_wrong_password_is_recorded_without_what_was_typed(visitor: Visitor, ada: User) -> None:
    sign_in(visitor, password="my secret nine words long")
    row = last("sign_in_refused")
    assert (row.outcome, row.subject_id, row.actor_id) == ("refused", str(ada.pk), "")
    assert row.details == {"reason": "wrong_password", "method": "password"}


def test_a_password_typed_as_the_name_is_kept_nowhere(visitor: Visitor) -> None:
    sign_in(visitor, name=PASSWORD, password="x")
    row = last("sign_in_refused")
    assert row.subject_id.startswith("unknown:")
    assert "kettles" not in json.dumps(list(AuditEvent.objects.values()), default=str)


def test_a_throttle_is_recorded_once_and_not_for_each_try(visitor: Visitor) -> None:
    for _ in range(9):
        sign_in(visitor, password="wrong")
    assert names().count("throttled") == 1
    assert last("throttled").details["scope"] == "account"


def test_signing_out_and_another_sign_in_in_its_place(visitor: Visitor) -> None:
    sign_in(visitor)
    first = last("signed_in").sid
    visitor.send("/login/", {"username": "ada", "password": PASSWORD}, form_of="/logout/")
    assert last("sign_in_replaced").sid == first
    visitor.send("/logout/", {})
    row = last("signed_out")
    assert (row.sid, row.subject_name) == (last("signed_in").sid, "ada")


def test_the_list_of_sign_ins_ends_one_and_all_others(visitor: Visitor) -> None:
    others = [Visitor(), Visitor(), Visitor()]
    sids = []
    for browser in (*others, visitor):
        sign_in(browser)
        sids.append(last("signed_in").sid)
    confirm(visitor)
    assert last("stepped_up").details == {"method": "password"}
    assert last("sign_in_replaced").sid == sids[-1]
    assert last("sign_in_renewed").details == {"by": "confirmation"}
    answer = visitor.send("/account/sessions/", {"sid": sids[0]})
    assert answer.headers["location"] == "/account/sessions/"
    assert (last("sign_in_ended").sid, last("sign_in_ended").details) == (sids[0], {"by": "list"})
    visitor.send("/account/sessions/", {})
    assert last("sign_in_ended").details == {"by": "everywhere", "count": 2}


def test_a_changed_person_is_recorded_whichever_way_it_was_done(ada: User) -> None:
    ada.name = "Ada Lovelace"
    ada.save()
    assert last("person_changed").details == {"fields": "name"}
    User.objects.filter(pk=ada.pk).update(is_active=False)
    assert last("person_disabled").subject_name == "ada"
    ada.refresh_from_db()
    ada.is_active = ada.is_staff = True
    User.objects.bulk_update([ada], ["is_active", "is_staff"])
    assert last("person_enabled").subject_id == str(ada.pk)
    assert last("privileges_changed").details == {"staff": True}
    ada.email = "ada@example.org"
    ada.save(update_fields=["email"])
    assert last("email_changed")
    ada.delete()
    assert last("person_deleted").subject_name == "ada"


def test_nothing_is_recorded_when_nothing_changed(ada: User) -> None:
    before = names()
    ada.save()
    User.objects.filter(pk=ada.pk).update(is_active=True)
    assert names() == before


def test_groups_by_every_way_in(ada: User) -> None:
    group, other = Group.objects.create(name="staff"), Group.objects.create(name="wiki")
    ada.groups.add(group)
    assert last("groups_changed").details == {"added": "staff"}
    ada.groups.set([other])
    added, removed = (
        row.details for row in AuditEvent.objects.filter(event="groups_changed").order_by("-seq")[:2]
    )
    assert [added, removed] == [{"added": "wiki"}, {"removed": "staff"}]
    other.user_set.clear()
    assert (last("groups_changed").subject_name, last("groups_changed").details) == (
        "ada",
        {"removed": "wiki"},
    )
    group.delete()
    assert last("group_deleted").details == {"group": "staff"}


def test_many_people_at_once_are_many_rows(ada: User) -> None:
    people = [User(username=f"p{n}", email=f"p{n}@example.com") for n in range(1200)]
    User.objects.bulk_create(people)
    User.objects.filter(username__startswith="p").update(is_active=False)
    assert names().count("person_disabled") == names().count("person_created") - 1 == 1200
    assert verify().sound


def test_a_password_changed_by_oneself_by_mail_and_by_a_command(visitor: Visitor, ada: User) -> None:
    sign_in(visitor)
    new = "nine quiet lanterns drift"
    confirm(visitor)
    fields = {"oldpassword": PASSWORD, "password1": new, "password2": new}
    visitor.send("/account/password/", fields, form_of="/logout/")
    row = last("password_changed")
    assert (row.actor_name, row.details) == ("ada", {"by": "own"})
    assert last("sign_in_ended").details == {"by": "password"}
    assert last("sign_in_renewed").details == {"by": "password"}
    with audit.acting("command:shell"):
        ada.set_password(PASSWORD)
        ada.save()
    assert (last("password_changed").actor_id, last("password_changed").details["by"]) == (
        "command:shell",
        "command",
    )


def test_apps_their_secrets_and_rules(ada: User) -> None:
    call_command("register_app", "wiki", "--origin", "https://wiki.example.com")
    assert {"app_created", "secret_made", "registry_published"} <= set(names())
    app = RelyingApp.objects.get(name="wiki")
    app.title, app.secret_hashes = "Our wiki", []
    app.save()
    assert last("app_changed").details == {"fields": "title"}
    assert (last("secret_removed").app, last("secret_removed").details) == ("wiki", {"count": 1})
    app.delete()
    assert last("app_deleted").app == "wiki"


def test_two_different_cookies_are_recorded_once_in_a_while() -> None:
    cookie = "; ".join(f"__Secure-sso_session={letter * 43}" for letter in "ab")
    for _ in range(3):
        Client().get("/login/", headers={"host": "auth.example.com", "cookie": cookie}, secure=True)
    assert names().count("cookie_conflict") == 1


@pytest.mark.parametrize(
    ("peer", "given", "kept"),
    [
        pytest.param("10.0.0.1", "abcdef0123456789", True, id="a trusted proxy's"),
        pytest.param("10.0.0.1", "short", False, id="too short"),
        pytest.param("10.0.0.1", "abcdef01\r\nX-Evil: 1", False, id="line breaks"),
        pytest.param("192.0.2.1", "abcdef0123456789", False, id="a stranger's"),
    ],
)
def test_a_request_id_is_taken_from_trusted_proxies_alone(
    settings: Any, monkeypatch: pytest.MonkeyPatch, peer: str, given: str, kept: bool
) -> None:
    from sso.proxies import TrustedProxies

    settings.SSO_TRUSTED_PROXIES = TrustedProxies.parse("10.0.0.1")
    answer = Client().get("/healthz", headers={"x-request-id": given}, REMOTE_ADDR=peer)
    assert (answer.headers["X-Request-ID"] == given) is kept
    assert len(answer.headers["X-Request-ID"]) >= 16


def test_the_person_reads_their_own_activity_and_nobody_elses(visitor: Visitor, ada: User) -> None:
    grace = User.objects.create_user("grace", "grace@example.com", PASSWORD)
    sign_in(Visitor(), password="wrong")
    audit.record(audit.Event.FACTOR_REMOVED, subject=ada, actor=grace, kind="totp")
    audit.record(audit.Event.PASSKEY_ADDED, subject=grace, actor=grace, name="her key")
    sign_in(visitor)
    text = visitor.get("/account/security/").content.decode()
    for words in ("Signed in", "A sign-in was refused", "A second step was removed", "by an administrator"):
        assert words in text, words
    assert "passkey was added" not in text
    assert "grace" not in text
    assert "Recent activity" in visitor.get("/account/").content.decode()
    assert visitor.get("/account/security/?before=x").status_code == 400


def test_activity_goes_on_in_pages(visitor: Visitor, ada: User) -> None:
    audit.record_each(audit.Event.SIGNED_OUT, [(str(ada.pk), "ada")] * 60)
    sign_in(visitor)
    first = visitor.get("/account/security/").content.decode()
    assert first.count("Signed out") == 24
    address = first.partition('href="/account/security/?before=')[2].partition('"')[0]
    assert visitor.get(f"/account/security/?before={address}").content.decode().count("Signed out") == 25


def test_signing_in_does_not_wait_for_a_trail_that_cannot_be_written(
    visitor: Visitor, monkeypatch: pytest.MonkeyPatch, hurt: Callable[[], None]
) -> None:
    hurt()
    assert sign_in(visitor).status_code == 303


@pytest.fixture
def hurt() -> Any:
    from django.db import connection

    table, aside = AuditEvent._meta.db_table, "elsewhere"

    def move(before: str, after: str) -> None:
        with connection.cursor() as cursor:
            cursor.execute(f"ALTER TABLE {before} RENAME TO {after}")

    yield lambda: move(table, aside)
    move(aside, table)


def test_an_administrators_page_that_is_closed_to_somebody_is_recorded(ada: User) -> None:
    administrator("eve", "sso.view_sessions")
    eve = signed_in_with_code(Visitor(), "eve")
    assert eve.get("/admin/audit/").status_code == 403
    row = last("admin_refused")
    assert (row.actor_name, row.outcome, row.details["page"]) == ("eve", "refused", "/admin/audit/")


def test_second_steps_are_recorded_refused_added_and_trusted(ada: User) -> None:
    TOTP.activate(ada, SECRET)
    visitor = Visitor()
    sign_in(visitor)
    visitor.send("/login/factor/", {"code": "000000"})
    row = last("second_factor_refused")
    assert (row.subject_name, row.actor_id, row.details) == ("ada", "", {"reason": "wrong", "method": "totp"})
    visitor.send("/login/factor/", {"code": code_now()})
    visitor.send("/login/trust/", {"action": "trust"})
    assert last("signed_in").details["amr"] == "pwd+otp+mfa"
    assert (last("browser_trusted").subject_name, last("browser_trusted").details["days"] > 0) == (
        "ada",
        True,
    )
    assert verify().sound


def test_a_reset_by_mail_is_recorded_with_and_without_an_account(ada: User) -> None:
    visitor = Visitor()
    for address in ("ada@example.com", "nobody@example.com"):
        visitor.send("/password/reset/", {"email": address})
    outbox.send_due()
    asked = AuditEvent.objects.filter(event="password_reset_asked")
    assert {row.subject_id.startswith("unknown:") for row in asked} == {True}
    assert [row.subject_name for row in AuditEvent.objects.filter(event="password_reset_sent")] == ["ada"]
    assert "nobody@example.com" not in json.dumps(list(AuditEvent.objects.values()), default=str)


def test_the_other_log_lines_of_a_request_carry_its_name(
    visitor: Visitor, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.handler.setFormatter(OneLine("%(name)s %(message)s"))
    answer = sign_in(visitor)
    [line] = [line for line in caplog.text.splitlines() if line.startswith("sso.sign_ins signed_in")]
    assert line.endswith(f" request={answer.headers['X-Request-ID']}")
