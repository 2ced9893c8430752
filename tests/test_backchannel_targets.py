"""Where sign-out messages may go: no logout URL reaches into a network of ours, however it is written."""

import asyncio
import socket
from ipaddress import ip_address, ip_network

import pytest

from sso.backchannel import posting, targets
from sso.backchannel.targets import Rules, TargetRefused, is_public, parse_networks
from tests.support.logout_targets import LogoutTarget

INWARD = [
    "0.0.0.0", "0.1.2.3", "10.0.0.1", "10.255.255.255", "100.64.0.1", "100.127.255.254", "127.0.0.1",
    "127.1.2.3", "169.254.0.1", "169.254.169.254", "172.16.0.1", "172.31.255.255", "192.0.0.1", "192.0.0.8",
    "192.0.2.1", "192.88.99.1", "192.168.0.1", "198.18.0.1", "198.19.255.255", "198.51.100.1",
    "203.0.113.1", "224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255", "::", "::1",
    "::127.0.0.1", "::10.0.0.1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254",
    "::ffff:0:127.0.0.1", "64:ff9b::127.0.0.1", "64:ff9b::10.0.0.1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::1",
    "100::1", "2001::1", "2001:0:7f00:1::", "2001:db8::1", "2001:10::1", "2002:7f00:1::", "2002:a00:1::1",
    "2002:a9fe:a9fe::1", "fc00::1", "fd00:ec2::254", "fe80::1", "fe80::1%eth0", "fec0::1", "ff02::1",
    "3fff::1", "5f00::1", "4000::1", "e000::1",
]  # fmt: skip
OUTWARD = [
    "1.1.1.1", "8.8.8.8", "93.184.215.14", "2606:4700:4700::1111", "2a00:1450::1", "::ffff:8.8.8.8",
    "64:ff9b::808:808",
]  # fmt: skip


@pytest.mark.parametrize("address", INWARD)
def test_no_special_address_is_public(address):
    assert not is_public(ip_address(address))


@pytest.mark.parametrize("address", OUTWARD)
def test_addresses_of_the_internet_are(address):
    assert is_public(ip_address(address))


def addresses(host, rules=None):
    return asyncio.run((rules or Rules()).addresses(host, 443))


SPELLINGS = [
    "127.0.0.1", "2130706433", "0x7f000001", "0x7f.1", "0177.0.0.1", "0177.1", "127.1", "127.0.1", "0", "0x0",
    "10.1", "0xa000001", "167772161", "012.1", "2852039166", "0xa9fea9fe", "0251.0376.0251.0376", "169.254.43518",
    "::1", "0:0:0:0:0:0:0:1", "::ffff:7f00:1", "::ffff:127.0.0.1", "::ffff:a9fe:a9fe", "::7f00:1",
    "localhost", "localhost.localdomain", "a.localhost", "ip6-localhost",
]  # fmt: skip


@pytest.mark.parametrize("host", SPELLINGS)
def test_no_spelling_of_an_inward_address_gets_through(host):
    with pytest.raises(TargetRefused) as refused:
        addresses(host)
    assert refused.value.code in ("inward", "unresolved")


@pytest.fixture
def dns(monkeypatch):
    """Names of a zone under our control; every look is counted."""
    zone, looks = {}, []

    def resolve(host, port, *more, **options):
        looks.append(host)
        found = zone.get(host)
        if found is None:
            raise socket.gaierror(socket.EAI_NONAME, "no such name")
        found = found.pop(0) if found and isinstance(found[0], list) else found
        return [
            (socket.AF_INET6 if ":" in a else socket.AF_INET, socket.SOCK_STREAM, 6, "", (a, port))
            for a in found
        ]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    return zone, looks


@pytest.mark.parametrize(
    "found",
    [
        ["10.0.0.7"],
        ["169.254.169.254"],
        ["8.8.8.8", "127.0.0.1"],
        ["2606:4700::1", "::ffff:10.0.0.1"],
        ["::1"],
    ],
    ids=str,
)
def test_a_name_that_leads_inward_with_any_of_its_addresses_is_refused(dns, found):
    dns[0]["evil.example"] = found
    with pytest.raises(TargetRefused) as refused:
        addresses("evil.example")
    assert refused.value.code == "inward"


def test_a_name_that_nobody_knows_is_said_so(dns):
    with pytest.raises(TargetRefused) as refused:
        addresses("nobody.example")
    assert refused.value.code == "unresolved"


def test_networks_of_ones_own_may_be_allowed_and_no_others(dns):
    zone, _ = dns
    zone.update(
        {"a.internal": ["10.20.0.7"], "b.internal": ["10.21.0.7"], "c.internal": ["::ffff:10.20.0.8"]}
    )
    rules = Rules(parse_networks("10.20.0.0/16, fd00:1::/64"))
    assert addresses("a.internal", rules) == ["10.20.0.7"]
    assert addresses("c.internal", rules) == ["::ffff:a14:8"]
    with pytest.raises(TargetRefused):
        addresses("b.internal", rules)


@pytest.mark.parametrize("text", ["10.0.0.0/33", "10.0.0.1/8", "example.com", "10.0.0.0/8; fd00::/8"])
def test_a_network_that_is_none_is_refused_at_start(text):
    with pytest.raises(ValueError, match="no network"):
        parse_networks(text)


def test_a_trial_may_reach_its_own_machine_by_its_own_names_alone(dns):
    trial = Rules(trial=True)
    assert addresses("shop.localhost", trial) == ["127.0.0.1", "::1"]
    dns[0]["evil.example"] = ["127.0.0.1"]
    with pytest.raises(TargetRefused):
        addresses("evil.example", trial)


# -- whole exchanges


def post(uri, rules):
    return asyncio.run(posting.post(uri, "a.b.c", rules))


LOOPBACK = Rules((ip_network("127.0.0.0/8"),))


def test_a_name_that_moves_inward_between_two_looks_finds_nobody(dns):
    """DNS rebinding: the first answer is looked at and used; there is no second question."""
    zone, looks = dns
    with LogoutTarget() as own:
        zone["rebinds.example"] = [["192.0.2.1"], ["127.0.0.1"]]
        answer = post(f"https://rebinds.example:{own.port}/", Rules())
        assert (answer.reason, own.got) == ("inward", [])
        assert looks == ["rebinds.example"]
        zone["rebinds.example"] = [["127.0.0.2"], ["10.0.0.1"]]
        post(f"https://rebinds.example:{own.port}/", LOOPBACK)
        assert looks == ["rebinds.example"] * 2, "one question for each message"


@pytest.fixture
def trusting(monkeypatch, certificates):
    monkeypatch.setenv("SSL_CERT_FILE", str(certificates.ca))
    posting._tls.cache_clear()
    yield
    posting._tls.cache_clear()


def test_tls_is_checked_by_name_though_an_address_is_connected_to(dns, certificates, trusting):
    zone, _ = dns
    zone.update({"app.example.test": ["127.0.0.1"], "app.stranger.example": ["127.0.0.1"]})
    with LogoutTarget(certificates=certificates) as own:
        answer = post(f"https://app.example.test:{own.port}/told?a=b", LOOPBACK)
        assert (answer.status, answer.reason) == (200, "")
        assert own.got[0].headers["Host"] == f"app.example.test:{own.port}"
        assert own.got[0].path == "/told?a=b"
        answer = post(f"https://app.stranger.example:{own.port}/", LOOPBACK)
        assert (answer.status, answer.reason) == (None, "certificate")
        assert len(own.got) == 1


def test_a_certificate_of_nobody_we_know_is_refused(dns, certificates):
    dns[0]["app.example.test"] = ["127.0.0.1"]
    posting._tls.cache_clear()
    with LogoutTarget(certificates=certificates) as own:
        assert post(f"https://app.example.test:{own.port}/", LOOPBACK).reason == "certificate"
        assert own.got == []


def test_plain_http_goes_to_this_machine_alone(dns):
    dns[0]["app.example.test"] = ["127.0.0.1"]
    with LogoutTarget() as own:
        assert post(f"http://app.example.test:{own.port}/", LOOPBACK).reason == "plain_http"
        assert own.got == []
        assert post(f"http://127.0.0.1:{own.port}/", LOOPBACK).reason == ""


def test_a_proxy_in_the_environment_is_none_of_ours(monkeypatch):
    with LogoutTarget() as proxy, LogoutTarget() as own:
        for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        assert post(f"http://127.0.0.1:{own.port}/", LOOPBACK).reason == ""
        assert (len(own.got), len(proxy.got)) == (1, 0)


def test_the_second_address_is_tried_when_nobody_is_at_the_first(dns):
    with LogoutTarget() as own:
        assert post(f"http://localhost:{own.port}/", Rules(trial=True)).reason == ""
        dns[0]["two.example"] = ["127.0.0.9", "127.0.0.1"]
        assert post(f"https://two.example:{own.port}/", LOOPBACK).reason in ("tls", "broken_off")


def test_nobody_listening_is_said_so():
    with LogoutTarget() as own:
        port = own.port
    assert post(f"http://127.0.0.1:{port}/", LOOPBACK).reason == "unreachable"


def test_a_resolver_that_hangs_costs_two_seconds(monkeypatch):
    async def hangs(*_):
        await asyncio.sleep(60)

    monkeypatch.setattr(targets, "_resolved", hangs)
    answer = post("https://slow.example/", Rules())
    assert answer.reason == "timeout"
    assert answer.milliseconds < 4000
