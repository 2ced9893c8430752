"""The audit trail in the admin: found, read, exported and checked by whoever may; 10 000 events are no strain."""

from __future__ import annotations

import csv
import io
import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection
from django.urls import reverse

from accounts.models import User
from sso import audit
from sso.audit.models import AuditEvent
from sso.audit.search import Filter, matching, page
from tests.support.admins import administrator, signed_in_with_code
from tests.support.page_visitor import Page, Visitor

pytestmark = pytest.mark.django_db(transaction=True)
TRAIL = "/admin/audit/"


@pytest.fixture
def root() -> Visitor:
    administrator()
    return signed_in_with_code(Visitor())


def staff(*permissions: str) -> Visitor:
    administrator("eve", *permissions)
    return signed_in_with_code(Visitor(address="203.0.113.99"), "eve")


def text(visitor: Visitor, **query: str) -> str:
    answer = visitor.get(TRAIL, **query)
    assert answer.status_code == 200, answer.content
    return str(answer.content.decode())


def rows(html: str) -> int:
    return len(Page(html).all("th", scope="row"))


def exported(visitor: Visitor, **fields: str) -> str:
    answer = visitor.send("/admin/audit/export/", fields, form_of=TRAIL)
    assert answer.status_code == 200, answer.content
    return b"".join(answer.streaming_content).decode()


def test_the_names_of_the_pages_are_those_of_djangos_tables() -> None:
    """The dashboard and pages of people link to them."""
    assert reverse("admin:sso_audit_auditevent_changelist") == TRAIL
    assert reverse("admin:sso_audit_auditevent_change", args=[7]) == "/admin/audit/7/"


def test_each_filter_narrows_the_list(root: Visitor) -> None:
    ada = User.objects.create_user("ada", "ada@example.com", "x")
    audit.record(audit.Event.FACTOR_ADDED, subject=ada, app="wiki", sid="s" * 22, kind="totp")
    audit.record(audit.Event.SIGN_IN_REFUSED, outcome=audit.REFUSED, subject=ada, reason="wrong_password")
    assert rows(text(root)) == AuditEvent.objects.count()
    for query, many in (
        ({"person": "ada"}, 3),
        ({"person": "Ada"}, 3),
        ({"person": str(ada.pk)}, 3),
        ({"event": "factor_added"}, 1),
        ({"outcome": "refused"}, 1),
        ({"app": "wiki"}, 1),
        ({"sid": "s" * 22}, 1),
        ({"text": "totp ada"}, 1),
        ({"text": "wrong_password"}, 1),
        ({"until": "2020-01-01"}, 0),
        ({"since": "2020-01-01", "event": "factor_added"}, 1),
        ({"person": "ada", "event": "signed_in"}, 0),
        ({"text": "'; DROP TABLE users --"}, 0),
    ):
        assert rows(text(root, **query)) == many, query
    for wrong in ({"since": "yesterday"}, {"event": "no_such"}, {"before": "x"}, {"outcome": "great"}):
        assert root.get(TRAIL, **wrong).status_code == 400, wrong


def test_one_event_is_shown_whole_and_its_text_is_only_text(root: Visitor) -> None:
    audit.record(audit.Event.SIGN_IN_REFUSED, subject="<b>x</b>", reason="<script>alert(1)</script>")
    row = AuditEvent.objects.get(event="sign_in_refused")
    html = root.get(f"{TRAIL}{row.seq}/").content.decode()
    assert f"{row.seq}:{row.hash}" in html
    assert "&lt;script&gt;" in html
    assert "<script>alert" not in html + text(root)
    assert root.get(f"{TRAIL}999999/").status_code == 404
    assert root.get(f"{TRAIL}{'9' * 30}/").status_code == 404


@pytest.mark.parametrize(
    ("permissions", "sees", "exports"),
    [
        pytest.param(("sso.view_relyingapp",), False, False, id="neither"),
        pytest.param(("sso_audit.view_auditevent",), True, False, id="sees"),
        pytest.param(("sso_audit.export_auditevent",), False, False, id="an export of what they may not see"),
        pytest.param(("sso_audit.view_auditevent", "sso_audit.export_auditevent"), True, True, id="both"),
    ],
)
def test_seeing_and_exporting_are_permissions_of_their_own(
    permissions: tuple[str, ...], sees: bool, exports: bool
) -> None:
    eve = staff(*permissions)
    for path in (TRAIL, f"{TRAIL}1/"):
        assert eve.get(path).status_code == (200 if sees else 403), path
    assert eve.send("/admin/audit/check/", {}, form_of="/logout/").status_code == (200 if sees else 403)
    answer = eve.send("/admin/audit/export/", {"format": "csv"}, form_of="/logout/")
    assert answer.status_code == (200 if exports else 403)
    assert ("Export CSV" in eve.get(TRAIL).content.decode()) is exports


def test_an_export_is_what_the_filter_finds_and_is_itself_an_event(root: Visitor) -> None:
    audit.record(audit.Event.SIGNED_OUT, subject="=1+1")
    table = list(csv.DictReader(io.StringIO(exported(root, format="csv", event="signed_out"))))
    assert [row["subject_id"] for row in table] == ["'=1+1"]
    [line] = exported(root, format="jsonl", event="signed_out").splitlines()
    assert json.loads(line)["subject_id"] == "=1+1"
    last = AuditEvent.objects.filter(event="audit_exported").first()
    assert last is not None
    assert (last.actor_name, last.details) == ("root", {"format": "jsonl", "filter": "events"})
    assert root.get("/admin/audit/export/").status_code == 405


def test_a_check_names_what_is_wrong_and_the_dashboard_warns(root: Visitor) -> None:
    good = root.send("/admin/audit/check/", {}, form_of=TRAIL).content.decode()
    assert "none was altered" in good
    assert "--expect" in good
    with connection.cursor() as cursor:
        cursor.execute("UPDATE sso_audit_auditevent SET subject_name = 'eve' WHERE seq = 2")
    bad = root.send("/admin/audit/check/", {}, form_of=TRAIL).content.decode()
    assert "this row was altered" in bad
    assert "Rows of the audit trail are missing or altered" in root.get("/admin/").content.decode()
    assert "rows are missing or altered" in text(root)


# -- ten thousand events


@pytest.fixture
def ten_thousand() -> None:
    """Of a hundred people, one after the other."""
    for n in range(100):
        audit.record_each(
            audit.Event.SIGNED_IN, [(f"id-{n}", f"person{n}")] * 100, amr="pwd", new_device=n % 2 == 0
        )


def quick(what: Callable[[], Any], within: float) -> Any:
    """Generous: it tells a scan of everything for each row from a look into an index."""
    began = time.perf_counter()
    result = what()
    assert time.perf_counter() - began < within
    return result


def test_ten_thousand_events_are_listed_filtered_and_exported_without_strain(
    ten_thousand: None, root: Visitor
) -> None:
    assert rows(quick(lambda: text(root), 2)) == 50
    assert rows(quick(lambda: text(root, person="person7"), 2)) == 50
    assert rows(quick(lambda: text(root, text="person77"), 2)) == 50
    assert len(quick(lambda: exported(root, format="jsonl"), 20).splitlines()) > 10_000
    assert "none was altered" in quick(
        lambda: root.send("/admin/audit/check/", {}, form_of=TRAIL).content.decode(), 20
    )


def test_pages_follow_each_other_without_a_gap_or_a_double(ten_thousand: None) -> None:
    wanted, seen, before = Filter(person="person7"), [], None
    while True:
        found = page(wanted, before=before, size=30)
        seen += [event.seq for event in found.events]
        if found.older is None:
            break
        before = found.older
    assert seen == sorted(seen, reverse=True)
    assert len(seen) == len(set(seen)) == 100
    back = page(wanted, after=seen[30], size=30)
    assert [event.seq for event in back.events] == seen[:30]
    assert (back.newer, back.older) == (None, seen[29])
    middle = page(wanted, after=seen[60], size=30)
    assert [event.seq for event in middle.events] == seen[30:60]
    assert middle.newer == seen[30]


@pytest.mark.parametrize(
    ("wanted", "index"),
    [
        (Filter(app="wiki"), "audit_app"),
        (Filter(address="192.0.2.1"), "audit_address"),
        (Filter(events=("signed_out",)), "audit_event"),
        (Filter(sid="x"), "audit_sid"),
        (Filter(person="00000000-0000-0000-0000-000000000007"), "audit_subject"),
    ],
    ids=str,
)
def test_a_page_is_found_by_an_index(ten_thousand: None, wanted: Filter, index: str) -> None:
    assert index in matching(wanted)[:50].explain()
