"""Addresses an app sends people to, and who is told what, decided without a framework."""

from __future__ import annotations

import subprocess
import sys
from urllib.parse import parse_qs, urlsplit

import pytest
from sso_client.login import (
    Asked,
    Gate,
    Refused,
    check_origin,
    ignoring,
    login_url,
    member_of,
    rebuild,
    wire_target,
)
from sso_client.record import Identity, Session

HUB = "https://auth.example.com"
ADA = Session(
    v=1,
    sid="s",
    site="example.com",
    user=Identity(id="1", username="ada", email="a@example.com", name="Ada", groups=("staff",)),
    amr=("pwd",),
    auth_time=1,
    iat=1,
    exp=2**33,
    idle=60,
)


def asked(**changes: str) -> Asked:
    facts = {"method": "GET", "origin": "https://wiki.example.com", "target": "/a?b=c", "mode": "navigate"}
    return Asked(**facts | changes)


def way_back(address: str) -> str | None:
    return parse_qs(urlsplit(address).query).get("rd", [None])[0]


@pytest.mark.parametrize(
    "address",
    [
        pytest.param("https://wiki.example.com/search?q=a%20b&in=titles", id="a query with an escape"),
        pytest.param(
            "https://wiki.example.com/?next=https://shop.example.com/?a=1%26b=2", id="an address in it"
        ),
        pytest.param("https://wiki.example.com:8443/a;v=1/b,c/@d?e=f+g&h=%2F#".rstrip("#"), id="odd letters"),
        pytest.param("http://wiki.example.localhost:8001//two?", id="two slashes"),
    ],
)
def test_a_deep_link_survives_the_way_to_the_hub_unchanged(address: str) -> None:
    assert way_back(login_url(HUB, address)) == address.rstrip("?")


@pytest.mark.parametrize(
    "address",
    [
        pytest.param("/only/a/path", id="no host"),
        pytest.param("//wiki.example.com/", id="no scheme"),
        pytest.param("javascript:alert(1)", id="a script"),
        pytest.param("https://ada@wiki.example.com/", id="a user name"),
        pytest.param("https://wiki.example.com\\@evil.test/", id="a backslash"),
        pytest.param("https://wiki.example.com/\r\nSet-Cookie: a=b", id="a line break"),
        pytest.param("https://wiki.example.com/a b", id="a space"),
        pytest.param("https://wiki.example.com\t/", id="a tab"),
        pytest.param("https:///etc", id="an empty host"),
        pytest.param("https://wiki.example.com:port/", id="a port of letters"),
        pytest.param("https://wíki.example.com/", id="a host that is not ASCII"),
        pytest.param("https://[::1/", id="half an IPv6 address"),
    ],
)
def test_an_address_with_two_readings_is_refused(address: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - the kind of error is the promise
        rebuild(address)


def test_a_rebuilt_address_is_ascii_and_has_no_fragment() -> None:
    assert rebuild("https://WIKI.example.com/ü?q=ß#top") == "https://wiki.example.com/%C3%BC?q=%C3%9F"


def test_without_a_way_back_people_end_at_their_start_page() -> None:
    assert login_url(HUB + "/") == "https://auth.example.com/login/"


@pytest.mark.parametrize(
    ("text", "fits"),
    [
        pytest.param("https://auth.example.com", True, id="https"),
        pytest.param("https://auth.example.com/", True, id="a closing slash"),
        pytest.param("http://auth.example.localhost:8000", True, id="http below localhost"),
        pytest.param("http://auth.example.com", False, id="http elsewhere"),
        pytest.param("http://auth.localhost.example.com", False, id="localhost in the middle"),
        pytest.param("https://auth.example.com/login/", False, id="a path"),
        pytest.param("https://a@auth.example.com", False, id="a user name"),
        pytest.param("auth.example.com", False, id="no scheme"),
    ],
)
def test_a_hub_is_an_origin(text: str, fits: bool) -> None:
    if fits:
        assert check_origin(text) == text.rstrip("/")
    else:
        with pytest.raises(ValueError, match="Write scheme and host only"):
            check_origin(text)


@pytest.mark.parametrize(
    ("headers", "navigation"),
    [
        pytest.param({"mode": "navigate", "dest": "document"}, True, id="a page"),
        pytest.param({"mode": "navigate", "dest": "iframe"}, True, id="a frame"),
        pytest.param({"mode": "navigate", "dest": "object"}, False, id="an embedded object"),
        pytest.param(
            {"mode": "cors", "dest": "empty", "accept": "text/html"}, False, id="fetch that asks for HTML"
        ),
        pytest.param(
            {"mode": "same-origin", "dest": "serviceworker", "accept": "*/*"}, False, id="a service worker"
        ),
        pytest.param({"mode": "cors", "dest": "manifest"}, False, id="a manifest"),
        pytest.param({"mode": "", "accept": "text/html,*/*;q=0.8"}, True, id="an old browser"),
        pytest.param(
            {"mode": "", "accept": "text/html", "requested_with": "XMLHttpRequest"}, False, id="old ajax"
        ),
        pytest.param({"mode": "", "accept": "*/*"}, False, id="curl"),
        pytest.param({"mode": "", "accept": ""}, False, id="nothing said"),
    ],
)
def test_fetch_metadata_decides_who_is_redirected_and_accept_where_it_is_missing(
    headers: dict[str, str], navigation: bool
) -> None:
    answer = Gate(HUB).sign_in(asked(**headers))
    assert answer.status == (302 if navigation else 401)


def test_a_gate_behind_a_proxy_uses_the_origin_people_see() -> None:
    gate = Gate(HUB, app_origin="https://wiki.example.com")
    assert way_back(gate.login_url(asked(origin="http://10.0.0.7:8080"))) == "https://wiki.example.com/a?b=c"


def test_a_host_header_that_is_no_host_is_not_passed_on() -> None:
    assert Gate(HUB).login_url(asked(origin='https://"><script>')) == f"{HUB}/login/"


def test_a_member_of_any_of_the_groups_passes() -> None:
    gate = Gate(HUB)
    assert gate.check(ADA, asked(), groups=["editors", "staff"]) is ADA
    with pytest.raises(Refused) as refused:
        gate.check(ADA, asked(), groups=["editors"])
    assert refused.value.answer.status == 403


def test_nobody_is_a_member_of_anything() -> None:
    assert member_of(ADA, "staff")
    assert not member_of(ADA, "editors")
    assert not member_of(ADA)
    assert not member_of(None, "staff")


def test_an_app_shows_refusals_in_its_own_design() -> None:
    gate = Gate(HUB, dress=lambda answer: answer.with_page(f"<h1>{answer.title}!</h1>", [("X-Ours", "yes")]))
    answer = gate.try_again(asked())
    assert (answer.status, answer.body) == (503, b"<h1>Back in a moment!</h1>")
    assert dict(answer.headers)["Content-Length"] == str(len(answer.body))
    assert dict(answer.headers)["X-Ours"] == "yes"


def test_no_answer_may_be_kept_by_a_cache() -> None:
    gate = Gate(HUB)
    makers = (gate.sign_in, gate.forbidden, gate.try_again)
    answers = [make(asked(mode=mode)) for mode in ("navigate", "cors") for make in makers]
    assert {dict(answer.headers)["Cache-Control"] for answer in answers} == {"no-store"}


def test_a_target_is_rebuilt_from_the_bytes_a_server_hands_over() -> None:
    assert wire_target("/ü %".encode(), b"a=%20&b=\xc3\xbc") == "/%C3%BC%20%25?a=%20&b=%C3%BC"
    assert wire_target(b"", b"") == "/"


@pytest.mark.parametrize(
    ("path", "ignored"),
    [
        pytest.param("/", True, id="the start page"),
        pytest.param("/healthz", True, id="exactly it"),
        pytest.param("/healthz/more", False, id="below a page"),
        pytest.param("/healthzz", False, id="a longer name"),
        pytest.param("/static/a/b.css", True, id="below a folder"),
        pytest.param("/private", False, id="anything else"),
        pytest.param("", False, id="nothing"),
    ],
)
def test_an_ignored_path_is_exact_or_a_whole_folder(path: str, ignored: bool) -> None:
    assert ignoring(("/", "/healthz", "/static/"))(path) is ignored


def test_the_package_needs_no_framework_and_loads_no_redis_for_an_address() -> None:
    code = (
        "import sys, sso_client; sso_client.login_url('https://auth.example.com')\n"
        "assert not {'redis', 'django', 'flask', 'starlette'} & set(sys.modules), 'too much was imported'\n"
        "for name in sso_client.__all__: assert getattr(sso_client, name) is not None\n"
        "assert not {'django', 'flask', 'starlette'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=30)
