"""The first page of the admin: figures that stay cheap, and a word on everything it stands on."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.core.cache import cache
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.models import User
from sso import sign_in_search, troubles
from sso.admin import figures
from sso.audit import Event, Outcome
from sso.audit.entries import Entry
from sso.audit.storing import store
from sso.models import RelyingApp
from sso.redis import keys
from sso.registration import register
from tests.support import crowd
from tests.support.admins import PASSWORD, administrator, signed_in_with_code
from tests.support.page_visitor import Page, Visitor
from tests.support.redis_server import RedisServer

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def root() -> Visitor:
    administrator()
    return signed_in_with_code(Visitor())


def dashboard(visitor: Visitor, **query: str) -> str:
    answer = visitor.get("/admin/", **query)
    assert answer.status_code == 200
    return str(answer.content.decode())


def figure(html: str, title: str) -> str:
    """The number under a heading."""
    elements = Page(html).elements
    at = next(n for n, element in enumerate(elements) if element.tag == "h2" and element.text == title)
    return next(element.text for element in elements[at:] if element.attributes.get("class") == "now-figure")


def happened(event: Event, hours_ago: float, times: int = 1, **fields: str) -> None:
    then = timezone.now() - timedelta(hours=hours_ago)
    store([Entry(event=event.value, outcome=Outcome.DONE.value, time=then, **fields) for _ in range(times)])


def test_a_fresh_installation_says_what_to_do_next(root: Visitor) -> None:
    html = dashboard(root)
    assert "No app yet." in html
    assert "/admin/sso/relyingapp/add/" in html
    assert "Nobody was refused" in html
    register(RelyingApp(name="wiki", origins=["https://wiki.example.com"]))
    assert "No app yet." not in dashboard(root)


def test_people_and_sessions_are_counted_while_they_are_few(root: Visitor) -> None:
    ada = User.objects.create_user("ada", "ada@example.com", PASSWORD)
    register(
        RelyingApp(name="wiki", title="Our wiki", client_id="wiki-1", origins=["https://wiki.example.com"])
    )
    crowd.write([crowd.sign_in(str(ada.pk), 100, seen_at=("wiki-1",)), crowd.sign_in(str(ada.pk), 200)])
    crowd.write([crowd.sign_in(str(ada.pk), 300)], living=False)
    html = dashboard(root)
    assert (figure(html, "People signed in now"), figure(html, "Sessions now")) == ("2", "3")
    assert "Our wiki" in html
    assert "example.com" in html


def test_very_many_are_reckoned_and_said_to_be() -> None:
    people = [f"00000000-0000-4000-8000-{n:012d}" for n in range(1000)]
    crowd.write([crowd.sign_in(people[n % 1000], n) for n in range(3000)])
    crowd.write([crowd.sign_in(people[n], n + 100) for n in range(1000)], living=False)
    seen = sign_in_search.impression()
    assert not seen.exact
    assert 2400 < seen.sign_ins < 3600
    assert 700 < seen.people < 1300


def test_hours_are_counted_where_they_belong(root: Visitor) -> None:
    happened(Event.SIGNED_IN, 50, 7)
    happened(Event.SIGNED_IN, 5, 4)
    happened(Event.SIGN_IN_REFUSED, 5, 2)
    happened(Event.THROTTLED, 0, 3)
    day, week = dashboard(root), dashboard(root, days="7")
    assert figure(day, "Signed in, last 24 hours") == "5"  # root as well
    assert figure(day, "Refused, last 24 hours") == "5"
    assert figure(week, "Signed in, last 7 days") == "12"
    counted = figures.hours(24)
    assert (counted[-6].signed_in, counted[-6].refused) == (4, 2)


def test_an_hour_that_is_over_is_counted_once() -> None:
    happened(Event.SIGNED_IN, 30, 3)
    figures.hours(48)
    with CaptureQueriesContext(
        connection,
    ) as asked:
        again = figures.hours(48)
    assert sum(hour.signed_in for hour in again) == 3
    assert len(asked) <= 6  # the present hour, and the one before while it may still get events
    cache.clear()
    assert figures.hours(48) == again


def test_who_is_refused_most_is_named_with_how_often(root: Visitor) -> None:
    happened(Event.SIGN_IN_REFUSED, 1, 3, address="198.51.100.1", subject_name="ada")
    happened(Event.THROTTLED, 1, 2, address="198.51.100.1", subject_id="unknown:0123456789abcdef")
    happened(Event.SIGN_IN_REFUSED, 30, 9, address="198.51.100.9")
    found = figures.refusals()
    assert [(one.name, one.refused, one.throttled) for one in found.addresses] == [("198.51.100.1", 3, 2)]
    html = dashboard(root)
    assert "198.51.100.1" in html
    assert "unknown:0123456789abcdef" in html
    assert root.get("/admin/audit/", address="198.51.100.1").status_code == 200
    assert 'href="/admin/audit/?address=198.51.100.1"' in html
    assert "198.51.100.9" not in html


def test_only_the_latest_refusals_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(figures, "LOOKED_AT", 10)
    happened(Event.SIGN_IN_REFUSED, 2, 15, address="198.51.100.1")
    found = figures.refusals()
    assert (found.looked_at, found.all, found.addresses[0].refused) == (10, False, 10)


@pytest.mark.parametrize(
    ("permission", "shown"),
    [
        ("sso.view_sessions", ["Sessions now", "Sign-ins per hour", "Sessions by app and site"]),
        ("sso_audit.view_auditevent", ["Sign-ins per hour", "Who was refused"]),
        ("sso.view_relyingapp", ["Keys and secrets"]),
        ("accounts.view_user", []),
    ],
)
def test_everybody_on_the_staff_sees_what_they_may(permission: str, shown: list[str]) -> None:
    administrator("eve", permission)
    html = dashboard(signed_in_with_code(Visitor(), "eve"))
    headings = {element.text for element in Page(html).all("h2")}
    parts = {
        "Sessions now",
        "Sign-ins per hour",
        "Sessions by app and site",
        "Who was refused",
        "Keys and secrets",
    }
    assert headings & parts == set(shown)
    assert "What it stands on" in headings


def test_a_failure_of_redis_is_remembered_without_its_address(
    root: Visitor, redis_server: RedisServer
) -> None:
    troubles._last.clear()
    redis_server.stop()
    assert root.get("/admin/").status_code == 503
    redis_server.start()
    html = dashboard(root)
    assert "Redis, ConnectionError" in html
    assert "/tmp" not in html


def test_an_app_with_two_secrets_is_named_until_one_is_gone(root: Visitor) -> None:
    app = RelyingApp(name="wiki", title="Our wiki", origins=["https://wiki.example.com"])
    register(app)
    assert "Two secrets at once" not in dashboard(root)
    app.secret_hashes = [*app.secret_hashes, "0" * 64]
    app.save()
    assert "Two secrets at once" in dashboard(root)


@pytest.mark.parametrize("days", ["7", "1", "0", "-1", "99999999", "x", "7' OR 1=1"])
def test_any_span_asked_for_is_a_page(root: Visitor, days: str) -> None:
    assert dashboard(root, days=days)


def test_names_from_the_trail_stay_text(root: Visitor, redis_client: Any) -> None:
    happened(Event.SIGN_IN_REFUSED, 1, 3, address="<script>1</script>", subject_name="<img src=x>")
    html = dashboard(root)
    assert "<script>1" not in html
    assert "<img src=x" not in html
    assert redis_client.exists(keys().registry) in (0, 1)
