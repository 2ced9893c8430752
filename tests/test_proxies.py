"""X-Forwarded-* count from trusted proxies only, are read from the right, and fail closed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sso.errors import BadRequest, ForwardedHeadersRefused
from sso.proxies import ClientView, TrustedProxies

PROXY = "10.0.0.5"
STRANGER = "203.0.113.9"
HEADERS = {
    "forwarded_proto": "https",
    "forwarded_host": "auth.example.com",
    "forwarded_for": "198.51.100.7",
}


def view(trusted, peer=PROXY, **headers):
    return TrustedProxies.parse(trusted).view(peer=peer, scheme="http", host="inner:8000", **headers)


def address(trusted, forwarded_for, peer=PROXY):
    return view(trusted, peer, forwarded_for=forwarded_for).address


@pytest.mark.parametrize("trusted", ["10.0.0.5", "10.0.0.0/24", "unix, 10.0.0.5", "192.168.0.0/16,10.0.0.5"])
def test_a_trusted_proxy_says_how_the_client_came(trusted):
    assert view(trusted, **HEADERS) == ClientView("https", "auth.example.com", "198.51.100.7")


@pytest.mark.parametrize("trusted", ["", "10.0.0.6", "unix", "10.0.1.0/24"])
def test_from_anyone_else_the_headers_do_not_exist(trusted):
    assert view(trusted, **HEADERS) == ClientView("http", "inner:8000", PROXY)


def test_nonsense_from_a_stranger_is_not_even_an_error():
    nonsense = dict.fromkeys(HEADERS, "\x00,,")
    assert view("10.0.0.5", STRANGER, **nonsense) == ClientView("http", "inner:8000", STRANGER)


def test_a_trusted_proxy_that_sends_nothing_changes_nothing():
    assert view("10.0.0.5") == ClientView("http", "inner:8000", PROXY)


def test_what_a_client_wrote_on_the_left_is_never_believed():
    assert address("10.0.0.0/24", "1.1.1.1, 203.0.113.9") == STRANGER
    assert address("10.0.0.0/24", "1.1.1.1, 203.0.113.9, 10.0.0.7") == STRANGER
    assert address("10.0.0.0/24", "10.0.0.99, 203.0.113.9, 10.0.0.7") == STRANGER


def test_rubbish_on_the_left_cannot_stop_the_right_from_being_read():
    assert address("10.0.0.5", "a,::,,%00," + "x" * 4000 + ", 203.0.113.9") == STRANGER
    assert address("10.0.0.5", "1.2.3.4," * 500 + STRANGER) == STRANGER


def test_when_every_hop_is_ours_the_first_one_is_the_client():
    assert address("10.0.0.0/24", "10.0.0.8, 10.0.0.7") == "10.0.0.8"


@pytest.mark.parametrize(
    "forwarded_for",
    [
        *("", " ", "a", "unknown", "_hidden", "1.2.3.4:80", "[::1]", "fe80::1%eth0"),
        *("1.2.3", "01.2.3.4", "1.2.3.4\x00", "1.2.3.4 5.6.7.8", "\N{FULLWIDTH DIGIT ONE}.2.3.4"),
        *(",", "1.2.3.4,", ",10.0.0.7"),
    ],
)
def test_an_address_that_cannot_be_read_is_refused_not_skipped(forwarded_for):
    with pytest.raises(ForwardedHeadersRefused):
        address("10.0.0.0/24", forwarded_for)


def test_one_client_has_one_spelling():
    assert address("10.0.0.5", "2001:DB8:0::1") == "2001:db8::1"
    assert address("10.0.0.5", "::ffff:203.0.113.9") == STRANGER
    assert view("10.0.0.5", "::ffff:203.0.113.9").address == STRANGER


def test_a_dual_stack_socket_shows_the_proxy_as_ipv4_in_ipv6():
    assert view("10.0.0.5", "::ffff:10.0.0.5", **HEADERS).scheme == "https"


@pytest.mark.parametrize("peer", ["", "unix"])
def test_a_unix_socket_is_trusted_only_by_name(peer):
    assert view("unix", peer, **HEADERS) == ClientView("https", "auth.example.com", "198.51.100.7")
    assert view("10.0.0.0/8", peer, **HEADERS) == ClientView("http", "inner:8000", "unix")


@pytest.mark.parametrize(
    "proto", ["", "ftp", "https, http", "http,https", "https,", "https;", "https\n", "on"]
)
def test_a_scheme_that_is_unclear_is_refused(proto):
    with pytest.raises(BadRequest):
        view("10.0.0.5", forwarded_proto=proto)


@pytest.mark.parametrize(
    "host",
    [
        *("", "a b", "a,b", "evil.test, auth.example.com", "user@a", "a/b", "a:b", "a:123456", ".a", "a\x00"),
        *("[::1]", "a" * 300, "münchen.example"),
    ],
)
def test_a_host_that_is_unclear_is_refused(host):
    with pytest.raises(BadRequest):
        view("10.0.0.5", forwarded_host=host)


def test_the_same_value_twice_is_no_contradiction():
    seen = view(
        "10.0.0.5", forwarded_proto="HTTPS, https", forwarded_host="Auth.Example.com,auth.example.com"
    )
    assert (seen.scheme, seen.host) == ("https", "auth.example.com")


@pytest.mark.parametrize(
    "text",
    [
        "0.0.0.0/0",
        "::/0",
        "0.0.0.0/1",
        "::/1",
        "10.0.0.1/24",
        "nginx",
        "10.0.0",
        "*",
        "unix:/run/x",
        "10.0.0.5/33",
    ],
)
def test_a_list_of_proxies_that_trusts_strangers_or_means_nothing_is_refused(text):
    with pytest.raises(ValueError, match=r"Write addresses|Name your proxies"):
        TrustedProxies.parse(f"10.9.0.1, {text}")


def test_no_proxies_is_false_and_some_are_true():
    assert not TrustedProxies.parse(" , ")
    assert TrustedProxies.parse("unix")
    assert TrustedProxies.parse("fd00::/8")


@given(st.text(max_size=60), st.text(max_size=60), st.text(max_size=60))
def test_any_text_gives_a_view_or_a_refusal_and_an_untrusted_peer_always_a_view(proto, host, chain):
    headers = {"forwarded_proto": proto, "forwarded_host": host, "forwarded_for": chain}
    assert view("", **headers) == ClientView("http", "inner:8000", PROXY)
    try:
        seen = view("10.0.0.5", **headers)
    except ForwardedHeadersRefused:
        return
    assert seen.scheme in ("http", "https")
    assert seen.host.isascii()
    assert seen.address
