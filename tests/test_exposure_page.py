"""The admin's page of who receives the shared cookie, and starting an audit there."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from sso.audit.models import AuditEvent
from sso.exposure import auditing, models, runs
from sso.exposure.values import Domain, Finding, Host, Lookup, Report, Suggestion
from sso.sites import Sites
from tests.support.admins import administrator, signed_in_with_code
from tests.support.dns_server import DnsServer
from tests.support.page_visitor import Visitor

pytestmark = pytest.mark.django_db(transaction=True)

ZONE = """$TTL 60
@ SOA ns1 root 1 60 60 60 60
@ NS ns1
ns1 A 127.0.0.1
auth A 127.0.0.1
shop A 127.0.0.1
old CNAME gone.hoster.test.
secret-name CNAME collect.tracker.test.
"""


@pytest.fixture
def visitor() -> Visitor:
    administrator()
    return signed_in_with_code(Visitor())


@pytest.fixture
def dns(monkeypatch: pytest.MonkeyPatch) -> Iterator[DnsServer]:
    zones = {"example.com": ZONE, "example.org": ZONE, "tracker.test": ZONE + "collect A 127.0.0.1\n"}
    with DnsServer(zones) as server:

        def laboratory(plan: auditing.Plan) -> auditing.Plan:
            return msgspec.structs.replace(plan, ports=(1, 1, server.port), http=False)

        monkeypatch.setattr(runs, "laboratory", laboratory)
        monkeypatch.setattr(runs, "resolvers", lambda: [("127.0.0.1", server.port)])
        yield server


def saved(domain: str = "example.com", *findings: Finding, hosts: int = 1) -> Report:
    found = tuple(
        Host(f"h{at}.{domain}", ("list",), Lookup("found", (), ("192.0.2.1",))) for at in range(hosts)
    )
    about = Domain(domain, f"auth.{domain}", {}, (domain,))
    suggestion = Suggestion(
        f"app.{domain}", f"auth.app.{domain}", 1, {f"auth.{domain}": f"auth.app.{domain}"}
    )
    report = Report(about, int(time.time()), found, findings, suggestion, 1.0, 10)
    models.save(report)
    return report


def until_over() -> runs.Run:
    deadline = time.monotonic() + 30
    while (run := runs.current()) is None or not run.over:
        assert time.monotonic() < deadline, run
        time.sleep(0.05)
    return run


def page(visitor: Visitor, **query: str) -> str:
    answer = visitor.get("/admin/exposure/", **query)
    assert answer.status_code == 200
    return answer.content.decode()


def test_an_audit_started_here_runs_in_the_background_and_is_shown(visitor: Visitor, dns: DnsServer) -> None:
    assert "No audit of example.com was kept yet" in page(visitor)
    answer = visitor.send("/admin/exposure/", {"site": "example.com"})
    assert answer["Location"] == "/admin/exposure/?site=example.com"
    assert until_over().problem == ""
    text = page(visitor)
    assert "gone.hoster.test is free: whoever takes it runs old.example.com" in text
    assert "auth.example.com" in text
    event = AuditEvent.objects.filter(event="domain_audited").get()
    assert event.details["hosts"] >= 3


def test_what_an_earlier_audit_knew_is_looked_at_again(visitor: Visitor, dns: DnsServer) -> None:
    known = Host("secret-name.example.com", ("zone",), Lookup("found", (), ("192.0.2.1",)))
    models.save(msgspec.structs.replace(saved(), hosts=(known,)))
    visitor.send("/admin/exposure/", {"site": "example.com"})
    until_over()
    assert "collect.tracker.test" in page(visitor)


def test_only_one_runs_at_a_time(visitor: Visitor, monkeypatch: pytest.MonkeyPatch) -> None:
    began: list[str] = []
    monkeypatch.setattr(runs, "_run", lambda site, run, actor: began.append(site.domain))
    for _ in range(3):
        visitor.send("/admin/exposure/", {"site": "example.com"})
    assert began == ["example.com"]
    assert "example.com is being audited" in page(visitor)
    assert "Audit now" not in page(visitor)


def test_a_resolver_that_is_away_is_said_and_nothing_is_kept(
    visitor: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs, "resolvers", lambda: [("127.0.0.1", 9)])
    visitor.send("/admin/exposure/", {"site": "example.com"})
    assert "no resolver answers" in until_over().problem
    text = page(visitor)
    assert "The audit of example.com failed" in text
    assert models.latest("example.com") is None
    assert "Audit now" in text  # and can be tried again


def test_each_site_has_its_own(visitor: Visitor) -> None:
    saved("example.org", Finding("wildcard", "warning", "*.example.org"))
    text = page(visitor, site="example.org")
    assert "Every name exists" in text
    assert "Every name exists" not in page(visitor)
    assert "Every name exists" not in page(visitor, site="evil.test")


def test_a_name_from_dns_is_text_and_no_markup(visitor: Visitor) -> None:
    saved("example.com", Finding("third_party", "serious", "<script>x", {"target": "<img src=x>"}))
    text = page(visitor)
    assert "<script>x" not in text
    assert "<img src=x>" not in text
    assert "&lt;script&gt;x" in text


def test_of_very_many_hosts_the_page_shows_some_and_says_so(visitor: Visitor) -> None:
    saved(hosts=2000)
    text = page(visitor)
    assert text.count('<th scope="row">') <= 310
    assert "1700 more names" in text


def test_whoever_may_only_look_cannot_start_one_and_others_cannot_look() -> None:
    administrator("viewer", "sso_exposure.view_savedaudit")
    viewer = signed_in_with_code(Visitor(), "viewer")
    assert "Audit now" not in page(viewer)
    assert viewer.send("/admin/exposure/", {"site": "example.com"}).status_code == 403
    assert runs.current() is None
    administrator("other", "accounts.view_user")
    other = signed_in_with_code(Visitor(), "other")
    assert other.get("/admin/exposure/").status_code == 403
    assert other.send("/admin/exposure/", {"site": "example.com"}).status_code == 403


def test_a_stranger_starts_none() -> None:
    answer = Visitor().send("/admin/exposure/", {"site": "example.com"})
    assert answer.status_code in (303, 403)
    assert runs.current() is None


def test_without_a_site_that_dns_knows_the_page_says_what_to_do(visitor: Visitor, settings: Any) -> None:
    from sso.admin.exposure import of_the_last_audits

    settings.SSO_SITES = Sites.parse("example.localhost=http://auth.example.localhost:8000")
    assert list(of_the_last_audits()) == []


def test_what_is_wrong_is_on_the_dashboard(visitor: Visitor) -> None:
    def dashboard() -> str:
        return str(visitor.get("/admin/").content.decode())

    assert "Nobody has looked yet which hosts of example.com" in dashboard()
    saved("example.com", Finding("dangling_cname", "critical", "old.example.com", {"target": "x.test"}))
    saved("example.org")
    text = dashboard()
    assert "1 thing is wrong with the hosts of example.com" in text
    assert "example.org" not in text.partition("Worth a look")[2].partition("</section>")[0]


def test_an_audit_that_another_version_wrote_breaks_no_page(visitor: Visitor) -> None:
    saved()
    models.SavedAudit.objects.update(document={"v": 9})
    assert "No audit of example.com was kept yet" in page(visitor)
