"""deploy/proxies/ on the real proxies: an app that knows nothing of us, a proxy that asks the edge about each request.

What is tested is what ``manage.py proxy_config`` prints.
"""

import base64
import json
import os
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import BrowserContext

from tests.support.certificates import Certificates
from tests.support.http import Answer
from tests.support.programs import Program
from tests.support.reverse_proxies import COOKIE, NAVIGATION, PROXIES, Behind

PASSWORD = "correct horse battery staple 7"
SPELLINGS = (
    "Remote-User",
    "remote-user",
    "rEmOtE-uSeR",
    "Remote_User",
    "REMOTE_USER",
    "Remote.User",
    "Remote-user",
)
IDENTITY = {
    "remote-user": "ada",
    "remote-groups": "staff,editors",
    "remote-name": "Ada Lovelace",
    "remote-email": "ada@example.test",
    "remote-id": "0b6c",
}


@pytest.fixture(scope="module")
def behind(
    tmp_path_factory: pytest.TempPathFactory, database: Path, certificates: Certificates
) -> Iterator[Behind]:
    with Behind(tmp_path_factory.mktemp("behind"), database, certificates) as behind:
        behind.auth.manage(
            "create_user",
            "ada",
            "--email",
            "ada@example.test",
            "--password-stdin",
            input=PASSWORD,
        )
        yield behind


@pytest.fixture(scope="module", params=PROXIES)
def proxy(request: pytest.FixtureRequest, behind: Behind) -> Iterator[str]:
    """Each proxy in turn, running; its name is its app's too."""
    name: str = request.param
    with behind.proxy(name):
        yield name


@pytest.fixture
def without_edge(behind: Behind) -> Iterator[Program]:
    """The edge is stopped, and back afterwards."""
    behind.edge.stop()
    yield behind.edge
    behind.edge.start()


def seen(answer: Answer) -> dict[str, Any]:
    """What the app was asked, with its headers by lower-case name."""
    assert answer.status == 200, answer.body
    found: dict[str, Any] = answer.json()
    names = [name.lower() for name, _ in found["headers"]]
    assert len(names) == len(set(names)), f"a header came twice: {names}"
    return found | {"headers": {name.lower(): value for name, value in found["headers"]}}


def identity(answer: Answer) -> dict[str, str]:
    """What of the headers could tell an app who somebody is, however it reads names; empty ones left out."""
    headers = seen(answer)["headers"]
    return {name: value for name, value in headers.items() if name.startswith("remote") and value}


# -- who somebody is


def test_the_app_learns_who_is_signed_in(behind: Behind, proxy: str):
    assert identity(behind.get(proxy, "/page?a=1", cookie=behind.sign_in())) == IDENTITY


def test_a_name_of_any_alphabet_arrives_whole(behind: Behind, proxy: str):
    cookie = behind.sign_in(name="Ада Λовелас", groups=["Ärzte"])
    found = identity(behind.get(proxy, "/", cookie=cookie))
    assert found["remote-name"].encode("latin-1").decode() == "Ада Λовелас"
    assert found["remote-groups"].encode("latin-1").decode() == "Ärzte"


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_a_client_cannot_say_who_it_is(behind: Behind, proxy: str, spelling: str):
    claims = [
        (spelling, "root"),
        (spelling.replace("ser", "ser2"), "root"),
        (spelling.replace("User", "Groups"), "root"),
    ]
    assert behind.get(proxy, "/page", claims[:1]).status == 401
    signed_in = identity(behind.get(proxy, "/page", claims[:1], cookie=behind.sign_in()))
    assert signed_in == IDENTITY
    assert identity(behind.get(proxy, "/public/page", claims[:1])) == {}


def test_somebody_without_groups_and_address_has_none_that_the_client_chose(behind: Behind, proxy: str):
    claims = [("Remote-Groups", "admins"), ("Remote-Email", "root@example.test"), ("Remote-Name", "Root")]
    cookie = behind.sign_in(groups=[], email="", name="")
    assert identity(behind.get(proxy, "/page", claims, cookie=cookie)) == {
        "remote-user": "ada",
        "remote-id": "0b6c",
    }


def test_a_client_cannot_make_its_identity_vanish(behind: Behind, proxy: str):
    hops = [("Connection", "close, Remote-User, Remote-Groups, Remote-Name, Remote-Email, Remote-Id")]
    answer = behind.get(proxy, "/page", hops, cookie=behind.sign_in())
    assert answer.status in (200, 400)
    assert answer.status == 400 or identity(answer) == IDENTITY


def test_the_app_gets_its_own_cookies_and_not_ours(behind: Behind, proxy: str):
    value = behind.sign_in()
    hub = "__Host-sso_hub=" + "A" * 43
    for ours in (f"{COOKIE}={value}", f"{COOKIE}={value}; {hub}; {COOKIE}={value}"):
        for header in (f"a=1; {ours}; b=2", f"{ours}; a=1; b=2", f"a=1; b=2; {ours}"):
            found = seen(behind.get(proxy, "/page", [("Cookie", header)]))["headers"]
            assert found["cookie"].split("; ") == ["a=1", "b=2"], header
            assert value not in json.dumps(found)
    assert not seen(behind.get(proxy, "/page", cookie=value))["headers"].get("cookie")


def test_a_cookie_whose_name_ends_like_ours_is_the_apps(behind: Behind, proxy: str):
    header = f"x{COOKIE}=1; {COOKIE}={behind.sign_in()}; {COOKIE}2=3"
    found = seen(behind.get(proxy, "/page", [("Cookie", header)]))["headers"]
    assert found["cookie"] == f"x{COOKIE}=1; {COOKIE}2=3"


# -- what is asked


def test_the_app_gets_address_method_and_body_as_they_were_sent(behind: Behind, proxy: str):
    target = "/page%20one/%C3%A9?next=%2Fb%2F&a=1&a=2&plus=a+b"
    answer = behind.request(proxy, "PATCH", target, cookie=behind.sign_in(), body=b"x" * 100_000)
    found = seen(answer)
    assert (found["method"], found["target"]) == ("PATCH", target)
    assert (found["headers"]["host"], found["headers"]["x-forwarded-proto"]) == (behind.host(proxy), "https")


def test_a_refused_post_leaves_the_next_request_alone(behind: Behind, proxy: str):
    cookie = behind.sign_in()
    for _ in range(10):
        assert behind.request(proxy, "POST", "/page", body=b"GET /public/ HTTP/1.1\r\n").status == 401
        assert identity(behind.get(proxy, "/page", cookie=cookie)) == IDENTITY


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("X-Forwarded-Uri", "/public/page"),
        ("X-Forwarded-Host", "nobody.invalid"),
        ("X-Forwarded-Method", "OPTIONS"),
        ("X-Forwarded-Proto", "http"),
        ("X-Original-URL", "https://{host}/public/page"),
        ("X-Original-Method", "OPTIONS"),
        ("X-Rewrite-URL", "/public/page"),
        ("Forwarded", "for=203.0.113.9;host=nobody.invalid"),
    ],
)
def test_a_client_cannot_say_what_it_asked_for(behind: Behind, proxy: str, name: str, value: str):
    value = value.format(host=behind.host(proxy))
    plain, claimed = (behind.get(proxy, "/page?a=1", headers) for headers in ((), [(name, value)]))
    assert (claimed.status, claimed.json()) == (plain.status, plain.json()) == (401, plain.json())
    found = seen(behind.get(proxy, "/page", [(name, value)], cookie=behind.sign_in()))["headers"]
    assert found.get(name.lower()) != value


def test_a_client_cannot_say_where_it_comes_from(behind: Behind, proxy: str):
    claims = [
        ("X-Forwarded-For", "203.0.113.9"),
        ("X-Real-IP", "203.0.113.9"),
        ("Forwarded", "for=203.0.113.9"),
    ]
    found = seen(behind.get(proxy, "/page", claims, cookie=behind.sign_in()))["headers"]
    assert "203.0.113.9" not in json.dumps(found)
    # Envoy names its machine's own address for clients on the same machine.
    assert found["x-forwarded-for"] == "127.0.0.1" or proxy == "envoy"


@pytest.mark.parametrize(
    "target",
    [
        "//page",
        "/public/../page",
        "/public/%2e%2e/page",
        "/public/..%2fpage",
        "/public/..;/page",
        "/public/%5c..%5cpage",
        "/public/%252e%252e/page",
        "/public%2f..%2fpage",
        "/page?/public/",
        "/page%23/public/",
        "/page;/public/",
        "/page%00/public/",
        "/%zz",
    ],
)
def test_an_odd_address_leads_nobody_past(behind: Behind, proxy: str, target: str):
    answer = behind.get(proxy, target)
    assert answer.status in (400, 401)


def test_another_host_is_not_served_under_this_apps_rules(behind: Behind, proxy: str):
    cookie = ("Cookie", f"{COOKIE}={behind.sign_in()}")
    for host in (
        "nobody.invalid",
        f"other.example.test:{behind.ports[proxy]}",
        f"{proxy}.example.test.evil.invalid",
    ):
        answer = behind.get(proxy, "/public/page", [("Host", host), cookie])
        # Caddy answers an empty 200 for hosts it does not serve.
        assert b"sso_echo" not in answer.body, host


# -- strangers


def test_a_navigation_is_sent_to_sign_in_with_its_full_address(behind: Behind, proxy: str):
    answer = behind.get(proxy, "/page/a?b=1&c=%2F&d=e+f", NAVIGATION)
    location = urlsplit(answer.get("Location") or "")
    assert (answer.status, f"{location.scheme}://{location.netloc}") == (302, behind.auth.origin)
    assert parse_qs(location.query)["rd"] == [f"{behind.origin(proxy)}/page/a?b=1&c=%2F&d=e+f"]


def test_a_form_that_is_sent_too_late_leads_to_sign_in_and_is_not_sent_again(behind: Behind, proxy: str):
    answer = behind.request(proxy, "POST", "/page?a=1", NAVIGATION, body=b"a=b")
    assert (answer.status, parse_qs(urlsplit(answer.get("Location") or "").query)["rm"]) == (303, ["POST"])


def test_a_script_hears_401_with_the_address_to_sign_in_at(behind: Behind, proxy: str):
    answer = behind.get(proxy, "/page?a=1", [("Sec-Fetch-Mode", "cors"), ("Accept", "application/json")])
    assert (answer.status, answer.json()["error"]) == (401, "not_signed_in")
    assert answer.json()["login_url"].startswith(f"{behind.auth.origin}/login/?rd=https%3A%2F%2F{proxy}.")
    assert answer.get("Location") is None


def test_a_public_address_is_public(behind: Behind, proxy: str):
    assert seen(behind.get(proxy, "/public/page"))["target"] == "/public/page"


def test_without_the_edge_nobody_passes(behind: Behind, proxy: str, without_edge: Program):
    for target in ("/page", "/public/page"):
        for cookie in ("", behind.sign_in()):
            assert behind.get(proxy, target, cookie=cookie).status >= 500
    done = behind.check(proxy, "--edge-down")
    assert (done.returncode, "everything is refused" in done.stdout) == (0, True)


@pytest.mark.parametrize(
    "name", [name for name in PROXIES if name != "traefik"]
)  # it waits 30 s, as documented
def test_a_silent_edge_is_a_refusal_within_seconds_and_forgotten_when_it_speaks_again(
    behind: Behind, name: str
):
    cookie = behind.sign_in()
    with behind.proxy(name):
        os.killpg(behind.edge.pid, signal.SIGSTOP)
        try:
            began = time.monotonic()
            assert behind.get(name, "/page", cookie=cookie).status >= 500
            assert time.monotonic() - began < 8
        finally:
            os.killpg(behind.edge.pid, signal.SIGCONT)
        assert identity(behind.get(name, "/page", cookie=cookie)) == IDENTITY


# -- web sockets


def talk(behind: Behind, name: str, cookie: str) -> bytes:
    """Open a web socket, say hello, and return all that came back."""
    line = behind.certificates.context().wrap_socket(
        socket.create_connection(("127.0.0.1", behind.ports[name]), 10),
        server_hostname=f"{name}.example.test",
    )
    key = base64.b64encode(b"0123456789abcdef").decode()
    head = (
        f"GET /socket HTTP/1.1\r\nHost: {behind.host(name)}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    )
    head += f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n"
    with line:
        line.sendall((head + (f"Cookie: {COOKIE}={cookie}\r\n" if cookie else "") + "\r\n").encode())
        answer = line.recv(65536)
        if answer.startswith(b"HTTP/1.1 101"):
            line.sendall(b"\x81\x85" + bytes(4) + b"hello")
            while not answer.endswith(b"hello") and (more := line.recv(65536)):
                answer += more
        return answer


def test_web_sockets_pass_for_whoever_is_signed_in_and_for_nobody_else(behind: Behind, proxy: str):
    assert talk(behind, proxy, behind.sign_in()).endswith(b"\x81\x05hello")
    assert talk(behind, proxy, "").startswith(b"HTTP/1.1 401")


# -- the whole way


def test_a_person_signs_in_once_and_comes_back_to_where_they_were(
    behind: Behind, proxy: str, context: BrowserContext
):
    page = context.new_page()
    page.goto(f"{behind.origin(proxy)}/page?a=1&b=%2F")
    assert page.url.startswith(f"{behind.auth.origin}/login/")
    page.get_by_label("Username or email").fill("ada")
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url(f"{behind.origin(proxy)}/page?a=1&b=%2F")
    told = json.loads(page.locator("pre").inner_text())
    headers = {name.lower(): value for name, value in told["headers"]}
    assert (headers["remote-user"], headers["remote-email"]) == ("ada", "ada@example.test")
    assert COOKIE not in json.dumps(told)


# -- proxy_check


def test_proxy_check_finds_nothing(behind: Behind, proxy: str):
    words = ["--json", "--edge", f"http://127.0.0.1:{behind.edge_port}", "--source", "127.0.0.9"]
    done = behind.check(proxy, *words)
    report = json.loads(done.stdout)
    assert {result["check"]: result["verdict"] for result in report["results"]} == dict.fromkeys(
        CHECKS, "closed"
    )
    assert (done.returncode, report["holes"], report["clean"]) == (0, [], True)
    assert report["requests"] <= 153


CHECKS = (
    "door",
    "identity",
    "spelling",
    "forwarded",
    "address",
    "paths",
    "connection",
    "upgrade",
    "cookie",
    "errors",
    "edge",
)
