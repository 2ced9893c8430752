"""The cookie doctor from inside: who may ask it, what it tells, what it does not do; its list and its documents."""

from __future__ import annotations

import json
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from string import Formatter
from typing import Any

import pytest
from django.conf import settings
from django.test import Client
from sso_client.doctor import BEACON, diagnose, main

from sso.doctor import beacon, calls, report, rounds
from sso.doctor.findings import CAUSES, Finding
from sso.doctor.observations import LONGEST, Arrived, Browser
from sso.doctor.rules import Place, of_hub_page
from sso.models import RelyingApp
from sso.origins import Origin
from sso.registration import register
from tests.support.admins import administrator, signed_in_with_code
from tests.support.page_visitor import Visitor
from tests.support.programs import ROOT
from tests.support.redis_server import RedisServer

HOST = {"host": "auth.example.com"}
OURS = {**HOST, "origin": "https://auth.example.com"}
SHOP = "https://shop.example.com"
VALUE = "A" * 43
PAGE = (ROOT / "docs" / "doctor.md").read_text()
#: The codes of ``sso_client.doctor``.
CLIENTS = set(
    re.findall(r'^ +"([a-z_]+)",$', (ROOT / "clients/python/src/sso_client/doctor.py").read_text(), re.M)
)


@pytest.fixture
def shop(transactional_db: None) -> str:
    register(RelyingApp(name="shop", origins=[SHOP]))
    return SHOP


# -- the list


def test_every_finding_is_documented_and_no_other() -> None:
    rows = re.findall(r"^\| `([a-z_]+)` \| (broken|warning) \|", PAGE, re.M)
    assert {code: level for code, level in rows if code in CAUSES} == {
        code: cause.level.value for code, cause in CAUSES.items()
    }
    assert {code for code, _ in rows} == set(CAUSES) | CLIENTS
    assert len(rows) == len({code for code, _ in rows})


def test_every_finding_is_held_by_the_matrix() -> None:
    matrix = (ROOT / "tests" / "test_doctor_matrix.py").read_text()
    assert {code for code in set(CAUSES) | CLIENTS if f'"{code}"' not in matrix} == set()


@pytest.mark.parametrize("code", sorted(CAUSES))
def test_the_texts_of_a_finding_are_whole(code: str) -> None:
    place = Place(settings.SSO_SITES, settings.SSO_SITES.primary, settings.SSO_COOKIE_NAME, SHOP)
    more = ("bytes", "seconds", "common", "other", "right", "missing", "value", "problem", "prefix", "policy")
    found = place.finding(code, **dict.fromkeys((*more, "count", "kind", "status"), "some"))
    for text in (found.what, found.why, found.change):
        assert text
        assert "%(" not in text
        assert not any(
            name for _, name, _, _ in Formatter().parse(text.replace("{", "{{").replace("}", "}}"))
        )


# -- who may ask


def test_only_a_page_of_this_host_may_ask_the_doctor(client: Client, db: None) -> None:
    assert client.post("/trouble/", {}, secure=True, headers=OURS).status_code == 200
    for other in ({}, {"origin": "https://evil.test"}, {"origin": "null"}, {"origin": SHOP}):
        assert client.post("/trouble/", {}, secure=True, headers={**HOST, **other}).status_code == 403


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        pytest.param("{", "text/plain", 400, id="no JSON"),
        pytest.param("{}", "text/plain", 400, id="no origin"),
        pytest.param(json.dumps({"origin": "x" * 400}), "text/plain", 400, id="an origin too long"),
        pytest.param(json.dumps({"origin": SHOP, "x": "y" * LONGEST}), "text/plain", 400, id="too long"),
        pytest.param(json.dumps({"origin": SHOP, "clock": 1e300}), "text/plain", 400, id="no clock"),
        pytest.param("[" * 4000, "text/plain", 400, id="deep"),
        pytest.param("\xff", "text/plain", 400, id="not UTF-8"),
        pytest.param(json.dumps({"origin": SHOP}), "application/x-www-form-urlencoded", 415, id="a form"),
        pytest.param(json.dumps({"origin": "https://["}), "text/plain", 200, id="an origin that is none"),
        pytest.param(json.dumps({"origin": ""}), "application/json", 200, id="an empty origin"),
    ],
)
def test_a_report_is_read_strictly(client: Client, db: None, body: str, kind: str, status: int) -> None:
    data = body.encode("latin-1")
    answer = client.post("/api/doctor/judge", data, content_type=kind, secure=True, headers=HOST)
    assert answer.status_code == status
    assert answer["Content-Type"].startswith("application/json")


def test_what_a_script_sends_to_the_page_may_be_anything(client: Client, db: None) -> None:
    for seen in ("{", "null", "[]", '{"clock": "now"}', "x" * 50_000, '{"vary": 1}'):
        answer = client.post("/trouble/", {"seen": seen}, secure=True, headers=OURS)
        assert answer.status_code == 200
    assert client.post("/trouble/", {"report": "{"}, secure=True, headers=OURS).status_code == 400


def test_what_a_page_claims_is_shown_as_text(client: Client, db: None) -> None:
    claim = json.dumps({"origin": "https://<script>alert(1)</script>"})
    answer = client.post("/trouble/", {"report": claim}, secure=True, headers=OURS)
    assert b"<script>alert" not in answer.content
    assert b"&lt;script&gt;alert" in answer.content


# -- what it tells


def test_no_cookies_value_is_told_to_anybody(client: Client, shop: str) -> None:
    client.cookies[settings.SSO_COOKIE_NAME] = VALUE
    seen = client.get("/api/doctor/seen", secure=True, headers={**HOST, "origin": shop})
    told = client.post("/trouble/", {}, secure=True, headers=OURS)
    assert seen.json()["session"] == "one"
    assert VALUE.encode() not in seen.content + told.content


def test_strangers_learn_nothing_of_apps_or_of_who_is_signed_in(client: Client, shop: str) -> None:
    page = client.get("/trouble/?rd=https://nobody.example.com/", secure=True, headers=HOST)
    assert b"nobody.example.com" not in page.content
    assert b"shop" not in page.content
    seen = client.get("/api/doctor/seen", secure=True, headers=HOST).json()
    assert set(seen) == {
        *("origin", "scheme", "session", "cookie_bytes", "time"),
        *("host_probe", "domain_probe", "far_probe"),
    }


def test_pages_of_registered_apps_alone_may_read_what_arrived(client: Client, shop: str) -> None:
    ours = client.get("/api/doctor/seen", secure=True, headers={**HOST, "origin": shop})
    assert ours["Access-Control-Allow-Origin"] == shop
    other = client.get("/api/doctor/seen", secure=True, headers={**HOST, "origin": "https://x.example.com"})
    assert "Access-Control-Allow-Origin" not in other


def test_whoever_reports_without_cookies_may_read_the_verdict(client: Client, shop: str) -> None:
    report = json.dumps({"origin": "https://x.example.com"})
    answer = client.post(
        "/api/doctor/judge",
        report,
        content_type="text/plain",
        secure=True,
        headers={**HOST, "origin": "https://x.example.com"},
    )
    assert answer["Access-Control-Allow-Origin"] == "*"
    assert "Access-Control-Allow-Credentials" not in answer
    assert [one["code"] for one in answer.json()["findings"]] == ["origin_not_registered"]


def test_however_many_report_the_hub_asks_itself_once(
    client: Client, shop: str, monkeypatch: pytest.MonkeyPatch, redis_server: RedisServer
) -> None:
    asked: list[str] = []
    resolve = socket.getaddrinfo

    def counted(host: str, *more: Any, **options: Any) -> Any:
        asked.append(host)
        return resolve(host, *more, **options)

    monkeypatch.setattr(socket, "getaddrinfo", counted)
    told = json.dumps({"origin": shop, "include": "failed", "omit": "ok", "opaque": "ok"})
    answers = [
        client.post("/api/doctor/judge", told, content_type="text/plain", secure=True, headers=HOST)
        for _ in range(5)
    ]
    assert {one["code"] for answer in answers for one in answer.json()["findings"]} == {"hub_not_answering"}
    assert asked == ["auth.example.com"]
    unknown = told.replace(shop, "https://x.example.com")
    client.post("/api/doctor/judge", unknown, content_type="text/plain", secure=True, headers=HOST)
    assert asked == ["auth.example.com"]
    redis_server.client().delete(f"sso:cache:doctor:hub:example.com:{shop}")  # as while it is being asked
    busy = client.post("/api/doctor/judge", told, content_type="text/plain", secure=True, headers=HOST)
    assert (busy.status_code, busy["Retry-After"]) == (429, "5")


def test_the_probes_have_no_power_and_the_right_reach(client: Client, db: None) -> None:
    cookies = client.get("/trouble/", secure=True, headers=HOST).cookies
    probes = {name: morsel for name, morsel in cookies.items() if "probe" in name}
    reach = {name: (morsel["domain"], morsel["samesite"]) for name, morsel in probes.items()}
    assert reach == {
        "__Host-sso_probe": ("", "Lax"),
        "__Secure-sso_probe": ("example.com", "Lax"),
        "__Secure-sso_probe_far": ("example.com", "None"),
    }
    assert all(
        morsel["secure"] and morsel["httponly"] and morsel["max-age"] == 600 for morsel in probes.values()
    )
    assert client.get("/api/sessions", secure=True, headers=HOST).status_code == 401


def test_the_sign_in_page_leads_to_the_doctor_and_takes_the_app_along(client: Client, shop: str) -> None:
    page = client.get(f"/login/?rd={shop}/x", secure=True, headers=HOST).content.decode()
    assert 'href="/trouble/?rd=https%3A%2F%2Fshop.example.com%2Fx"' in page


# -- rules


def test_a_good_browser_has_no_finding() -> None:
    place = Place(settings.SSO_SITES, settings.SSO_SITES.primary, settings.SSO_COOKIE_NAME)
    arrived = Arrived(
        origin="https://auth.example.com",
        scheme="https",
        session="one",
        host_probe=True,
        domain_probe=True,
        far_probe=True,
        cookie_bytes=300,
        time=0,
    )
    assert list(of_hub_page(place, arrived, Browser())) == []


# -- calls


@pytest.fixture
def at_home(monkeypatch: pytest.MonkeyPatch) -> None:
    """Names resolve to this machine."""
    resolve = socket.getaddrinfo
    monkeypatch.setattr(socket, "getaddrinfo", lambda host, *more, **o: resolve("127.0.0.1", *more, **o))


@pytest.fixture
def answering(at_home: None) -> Iterator[tuple[Origin, list[bytes], list[bytes]]]:
    """A server that says what it is told to, byte by byte if it takes several; and what it was asked."""
    says: list[bytes] = []
    asked: list[bytes] = []
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                line, _ = listener.accept()
            except OSError:
                return
            with line:
                asked.append(line.recv(65_536))
                try:
                    for part in says:
                        line.sendall(part)
                        time.sleep(0.05 if len(says) > 1 else 0)
                except OSError:
                    continue

    threading.Thread(target=serve, daemon=True).start()
    yield Origin.parse(f"http://app.localhost:{listener.getsockname()[1]}"), says, asked
    listener.close()


def test_no_redirect_is_followed(answering: tuple[Origin, list[bytes], list[bytes]]) -> None:
    origin, says, asked = answering
    says.append(b"HTTP/1.1 302 Found\r\nLocation: http://metadata.localhost/\r\nContent-Length: 0\r\n\r\n")
    assert calls.ask(origin, "/").status == 302
    assert len(asked) == 1


def test_an_endless_answer_is_cut(answering: tuple[Origin, list[bytes], list[bytes]]) -> None:
    origin, says, _asked = answering
    says.append(b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 1_000_000)
    assert len(calls.ask(origin, "/").body) == calls.LONGEST


def test_an_answer_that_trickles_is_given_up(
    answering: tuple[Origin, list[bytes], list[bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    origin, says, _asked = answering
    monkeypatch.setattr(calls, "WHOLE", 0.5)
    says.extend([b"HTTP/1.1 200 OK\r\nContent-Length: 10000\r\n\r\n", *[b"x"] * 10_000])
    assert len(calls.ask(origin, "/").body) < 1000  # all of it would take eight minutes


def test_an_app_is_asked_with_a_made_up_persons_cookie_and_nothing_else(
    answering: tuple[Origin, list[bytes], list[bytes]],
) -> None:
    origin, says, asked = answering
    says.append(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    place = Place(settings.SSO_SITES, settings.SSO_SITES.primary, settings.SSO_COOKIE_NAME, str(origin))
    assert list(calls.of_app(place, "/", trial=VALUE, clock=time.time(), prefix="sso:")) == []
    names = [set(re.findall(rb"^([\w-]+):", request, re.M)) for request in asked]
    assert names == [
        {b"Host", b"Connection", b"User-Agent"},
        {b"Host", b"Connection", b"User-Agent", b"Cookie"},
    ]


# -- the report


def test_a_report_is_kept_and_read_again(db: None) -> None:
    made = report.Report(1.0, [Finding("redis_evicts", {"policy": "allkeys-lru"})], {"shop": []})
    report.keep(made)
    assert report.last() == made


def test_codes_of_another_version_are_left_out(db: None) -> None:
    report.keep(report.Report(1.0, [Finding("redis_evicts", {"policy": "x"}), Finding("of_tomorrow")]))
    last = report.last()
    assert last is not None
    assert [one.code for one in last.server] == ["redis_evicts"]


@pytest.mark.django_db(transaction=True)
def test_one_of_all_processes_goes_on_rounds() -> None:
    first, again, asked_for = (_made(go) for go in (rounds.go, rounds.go, rounds.look))
    assert first == again < asked_for


def _made(go: Callable[[], None]) -> float:
    """When the last report was made, after a round in a thread of its own."""
    thread = threading.Thread(target=go)
    thread.start()
    thread.join()
    last = report.last()
    assert last is not None
    return last.made


# -- the admin


@pytest.mark.django_db(transaction=True)
def test_the_admins_page_is_for_those_who_may_use_the_doctor() -> None:
    administrator("nurse", "sso.view_relyingapp")
    administrator("medic", "sso.view_doctor")
    assert signed_in_with_code(Visitor(), "nurse").get("/admin/doctor/").status_code == 403
    assert (
        signed_in_with_code(Visitor(address="203.0.113.8"), "medic").get("/admin/doctor/").status_code == 200
    )


@pytest.mark.django_db(transaction=True)
def test_the_admin_sees_the_last_look_takes_another_and_is_warned_on_the_dashboard(shop: str) -> None:
    report.keep(
        report.Report(time.time(), [Finding("redis_evicts", {"policy": "allkeys-lru"})], {"shop": []})
    )
    administrator()
    visitor = signed_in_with_code(Visitor())
    seen = visitor.get("/admin/doctor/").content.decode()
    assert "maxmemory-policy noeviction" in seen
    assert "credentials: &quot;include&quot;" in seen
    assert "The cookie doctor found 1 thing" in visitor.get("/admin/").content.decode()
    looked = visitor.send("/admin/doctor/", {"app": "shop"}, form_of="/admin/doctor/")
    assert looked.status_code == 200
    assert "hub_not_answering" in looked.content.decode()
    everything = visitor.send("/admin/doctor/", {"app": ""}, form_of="/admin/doctor/")
    assert everything["Location"] == "/admin/doctor/?looking=1"
    for thread in [one for one in threading.enumerate() if one.name == "doctor"]:
        thread.join()
    assert "hub_not_answering" in visitor.get("/admin/doctor/").content.decode()


# -- the client's own


def test_the_beacon_holds_no_secret_and_is_read_by_the_client(redis_server: RedisServer, db: None) -> None:
    beacon.publish()
    raw = redis_server.client().get(f"sso:{BEACON}")
    assert set(json.loads(raw)) == {"v", "cookie", "sites", "written"}
    assert diagnose(redis_server.url, timeout=5) == []


def test_the_clients_command_says_what_is_wrong_and_no_password(
    redis_server: RedisServer, db: None, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["ftp://wiki:hunter2@x"]) == 2
    assert main(["redis://wiki:hunter2@127.0.0.1:1/0"]) == 1
    beacon.publish()
    assert main([redis_server.url]) == 0
    told = capsys.readouterr()
    assert "redis_unreachable" in told.out
    assert "Nothing wrong was found." in told.out
    assert "hunter2" not in told.out + told.err
