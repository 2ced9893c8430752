"""``audit_domain`` and what it stands on, against a real DNS server and real web hosts on this machine."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from sso.exposure import models
from sso.exposure.judging import judge, read_hsts
from sso.exposure.narrower import suggest
from sso.exposure.sources import COMMON, SourceRefused, read_list, read_zone
from sso.exposure.values import Domain, Host, Lookup, Report
from sso.exposure.words import WORDS, remedy, why
from sso.models import RelyingApp
from sso.sites import Sites
from tests.support.certificates import Certificates
from tests.support.dns_server import DnsServer
from tests.support.web_hosts import Page, WebHosts

pytestmark = pytest.mark.django_db

SITES = "example.test=auth.example.test, other.test=auth.other.test"
HEAD = """$TTL 60
@ SOA ns1 root 1 60 60 60 60
@ NS ns1
ns1 A 127.0.0.1
"""
ZONE = (
    HEAD
    + """
@ A 127.0.0.1
auth A 127.0.0.1
wiki A 127.0.0.1
shop CNAME front.other.test.
; mail and proofs, which no browser opens
_dmarc TXT "v=DMARC1"
s1._domainkey CNAME s1.domainkey.mailer.test.
mx MX 10 mail.mailer.test.
; cloaked
track CNAME collect.tracker.test.
news CNAME hop
hop CNAME pages.hoster.test.
; dangling
old CNAME gone.hoster.test.
stale CNAME nothing-here
lost NS ns.vanished.test.
lame NS ns.lame.test.
dev NS ns1
round CNAME about
about CNAME round
; web
plain A 127.0.0.1
blog A 127.0.0.1
away A 127.0.0.1
young A 127.0.0.1
bare A 127.0.0.1
api.deep A 127.0.0.1
"""
)
ZONES = {
    "example.test": ZONE,
    "dev.example.test": HEAD + "@ A 127.0.0.1\n",
    "other.test": HEAD + "auth A 127.0.0.1\nfront A 127.0.0.1\n* CNAME parking.hoster.test.\n",
    "tracker.test": HEAD + "collect A 127.0.0.1\n",
    "hoster.test": HEAD + "pages A 127.0.0.1\nparking A 127.0.0.1\n",
    "mailer.test": HEAD + 's1.domainkey TXT "k=rsa"\nmail A 127.0.0.1\n',
    "lame.test": HEAD + "ns A 127.0.0.1\n",
}
GOOD = Page()
PAGES = {
    "plain.example.test": Page(200, None),
    "away.example.test": Page(302, "http://{host}/start"),
    "blog.example.test": Page(hsts=None),
    "young.example.test": Page(hsts="max-age=86400"),
}
for _name in ("example", "auth.example", "wiki.example", "shop.example", "track.example", "news.example"):
    PAGES[f"{_name}.test"] = GOOD
for _name in ("hop", "bare", "ns1", "dev", "api.deep"):
    PAGES[f"{_name}.example.test"] = GOOD
PAGES["bare.example.test"] = Page(hsts="includeSubDomains")

#: Everything that is wrong there, and nothing else.
WRONG = {
    ("critical", "dangling_cname", "old.example.test"),
    ("critical", "dangling_delegation", "lost.example.test"),
    ("serious", "lame_delegation", "lame.example.test"),
    ("serious", "third_party", "track.example.test"),
    ("serious", "third_party", "news.example.test"),
    ("serious", "third_party", "hop.example.test"),
    ("warning", "dangling_cname", "stale.example.test"),
    ("warning", "cname_loop", "round.example.test"),
    ("warning", "cname_loop", "about.example.test"),
    ("warning", "plain_http", "plain.example.test"),
    ("warning", "plain_http", "away.example.test"),
    ("warning", "no_hsts", "blog.example.test"),
    ("warning", "no_hsts", "bare.example.test"),
    ("notice", "short_hsts", "young.example.test"),
    ("warning", "bad_certificate", "api.deep.example.test"),
    *(
        ("warning", "unregistered", name)
        for name in (
            "example.test",
            *(
                f"{label}.example.test"
                for label in (
                    ["ns1", "dev", "track", "news", "hop", "plain", "blog", "away", "young", "bare"]
                )
            ),
            "api.deep.example.test",
        )
    ),
}


@pytest.fixture(autouse=True)
def _sites(settings: Any) -> None:
    settings.SSO_SITES = Sites.parse(SITES)
    for name in ("wiki", "shop"):
        RelyingApp.objects.create(name=name, client_id=name, origins=[f"https://{name}.example.test"])


@pytest.fixture(scope="module")
def dns() -> Iterator[DnsServer]:
    with DnsServer(ZONES) as server:
        yield server


@pytest.fixture(scope="module")
def web(certificates: Certificates) -> Iterator[WebHosts]:
    with WebHosts(PAGES, certificates) as hosts:
        yield hosts


@pytest.fixture
def audit(
    dns: DnsServer, web: WebHosts, certificates: Certificates, tmp_path: Path
) -> Callable[..., tuple[int, Any]]:
    """Run the command with these words; gives the exit status and what it printed."""

    def run(*words: str, server: DnsServer = dns) -> tuple[int, Any]:
        out = io.StringIO()
        ports = f"{web.http_port},{web.https_port},{server.port}"
        options = [
            "--resolver",
            f"127.0.0.1:{server.port}",
            "--laboratory",
            ports,
            "--ca",
            str(certificates.ca),
        ]
        status = 0
        try:
            call_command("audit_domain", *options, *words, stdout=out, stderr=io.StringIO())
        except SystemExit as done:
            status = int(str(done.code))
        text = out.getvalue()
        return status, json.loads(text)[0] if "--json" in words else text

    return run


@pytest.fixture
def zone_file(tmp_path: Path) -> str:
    path = tmp_path / "example.test.zone"
    path.write_text(ZONE)
    return str(path)


@pytest.fixture
def names_file(tmp_path: Path) -> str:
    """What somebody without the zone file knows: the labels."""
    path = tmp_path / "names"
    labels = (
        "auth wiki shop _dmarc s1._domainkey mx track news hop old stale lost lame dev round about plain blog"
    )
    path.write_text(
        "\n".join([*labels.split(), "away # moved", "young", "bare", "api.deep.example.test", "ns1"])
    )
    return str(path)


def wrong(report: dict[str, Any]) -> set[tuple[str, str, str]]:
    return {(found["severity"], found["code"], found["host"]) for found in report["findings"]}


def hosts(report: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {host["name"]: host for host in report["hosts"]}


# -- everything found, nothing wrongly


def test_all_that_is_wrong_in_a_zone_is_found_and_nothing_else(
    audit: Callable[..., tuple[int, Any]], zone_file: str
) -> None:
    status, report = audit("--site", "example.test", "--zone-file", zone_file, "--json")
    assert wrong(report) == WRONG
    assert (status, report["clean"]) == (1, False)


def test_a_list_of_names_and_a_resolver_find_the_same(
    audit: Callable[..., tuple[int, Any]], names_file: str
) -> None:
    _, report = audit("--site", "example.test", "--names", names_file, "--json")
    assert wrong(report) == WRONG


def test_names_that_many_domains_have_are_found_without_being_told(
    audit: Callable[..., tuple[int, Any]],
) -> None:
    _, report = audit("--site", "example.test", "--json", "--no-http")
    known = {f"{label}.example.test" for label in COMMON}
    expected = {found for found in WRONG if found[2] in known | {"example.test", "hop.example.test"}}
    without_http = {one for one in expected if "http" not in one[1] and "hsts" not in one[1]}
    assert wrong(report) == without_http
    assert "nosuchname.example.test" not in hosts(report)
    assert {name for name in hosts(report) if name.startswith("www")} == set()


def test_each_host_says_whether_it_gets_the_cookie_and_by_which_record(
    audit: Callable[..., tuple[int, Any]], zone_file: str, tmp_path: Path
) -> None:
    listed = tmp_path / "names"
    listed.write_text("www.elsewhere.test\n")
    words = ("--site", "example.test", "--zone-file", zone_file, "--names", str(listed), "--json")
    found = hosts(audit(*words)[1])
    gets = {name: (host["reach"], host["records"]) for name, host in found.items()}
    assert gets["wiki.example.test"] == ("yes", ["A"])
    assert gets["track.example.test"] == ("yes", ["CNAME"])
    assert gets["old.example.test"] == ("if_taken", ["CNAME"])
    assert gets["lost.example.test"] == ("if_taken", ["NS"])
    assert gets["s1._domainkey.example.test"] == ("no", ["CNAME"])
    assert gets["www.elsewhere.test"] == ("no", [])
    assert found["news.example.test"]["lookup"]["chain"] == ["hop.example.test", "pages.hoster.test"]
    assert "mx.example.test" not in found  # no browser goes there


def test_hosts_are_asked_for_one_page_without_a_cookie_and_no_redirect_is_followed(
    audit: Callable[..., tuple[int, Any]], web: WebHosts, zone_file: str
) -> None:
    web.requests.clear()
    audit("--site", "example.test", "--zone-file", zone_file)
    assert {(path, cookie) for _, _, path, cookie in web.requests} == {("/", False)}
    assert len(web.requests) == len(set(web.requests))
    assert not any("_" in host or "tracker" in host for _, host, _, _ in web.requests)


def test_no_http_means_none(audit: Callable[..., tuple[int, Any]], web: WebHosts, zone_file: str) -> None:
    web.requests.clear()
    _, report = audit("--site", "example.test", "--zone-file", zone_file, "--no-http", "--json")
    assert web.requests == []
    assert not {code for _, code, _ in wrong(report)} & {
        "plain_http",
        "no_hsts",
        "short_hsts",
        "bad_certificate",
    }
    assert report["probed"] is False


def test_a_wildcard_is_one_finding_and_makes_no_names_up(audit: Callable[..., tuple[int, Any]]) -> None:
    _, report = audit("--site", "other.test", "--json", "--no-http")
    assert wrong(report) == {
        ("serious", "third_party", "*.other.test"),
        ("warning", "wildcard", "*.other.test"),
        ("warning", "unregistered", "ns1.other.test"),
    }


def test_a_clean_domain_is_exit_status_0(
    audit: Callable[..., tuple[int, Any]], tmp_path: Path, certificates: Certificates
) -> None:
    zone = HEAD.replace("ns1 A", "ns1.elsewhere.test. A").replace("NS ns1", "NS ns1.elsewhere.test.")
    zone += "auth A 127.0.0.1\nwiki A 127.0.0.1\nshop AAAA ::1\n"
    zone = zone.replace("ns1.elsewhere.test. A 127.0.0.1\n", "")
    zones = {"example.test": zone, "elsewhere.test": HEAD}
    with DnsServer(zones) as server:
        status, text = audit("--site", "example.test", "--no-guess", server=server)
    assert (status, text.splitlines()[-1]) == (0, "Nothing was found.")


def test_what_is_ours_is_no_third_party(audit: Callable[..., tuple[int, Any]], zone_file: str) -> None:
    words = ("--site", "example.test", "--zone-file", zone_file, "--json", "--no-http")
    _, report = audit(*words, "--own", "hoster.test")
    strangers = {host for _, code, host in wrong(report) if code == "third_party"}
    assert strangers == {"track.example.test"}


# -- unknown is not innocent, and not guilty


def test_a_name_without_an_answer_is_unknown_and_nothing_else() -> None:
    with DnsServer({"example.test": HEAD}, mute=("slow.example.test",)) as server:
        found = _judged(server, "slow")
    assert found == {("notice", "not_looked_up", "slow.example.test")}


def _judged(server: DnsServer, *labels: str) -> set[tuple[str, str, str]]:
    from sso.exposure import auditing

    plan = auditing.Plan(
        domain=Domain("example.test", "auth.example.test", {}, ("example.test",)),
        servers=[("127.0.0.1", server.port)],
        listed=tuple(f"{label}.example.test" for label in labels),
        guess=False,
        http=False,
        ports=(1, 1, server.port),
    )
    report = auditing.run(plan)
    return {(f.severity, f.code, f.host) for f in report.findings if f.host != "ns1.example.test"}


def test_a_resolver_that_is_away_is_exit_status_2_and_no_clean_report(
    audit: Callable[..., tuple[int, Any]],
) -> None:
    with pytest.raises(CommandError, match="--resolver ADDRESS") as refused:
        call_command(
            "audit_domain", "--site", "example.test", "--resolver", "127.0.0.1:9", stdout=io.StringIO()
        )
    assert refused.value.returncode == 2


def test_a_resolver_that_makes_answers_up_is_refused() -> None:
    with DnsServer({"invalid": HEAD + "* A 127.0.0.1\n"}) as server:
        resolver = f"127.0.0.1:{server.port}"
        with pytest.raises(CommandError, match="do not exist"):
            call_command(
                "audit_domain", "--site", "example.test", "--resolver", resolver, stdout=io.StringIO()
            )


def test_a_long_answer_arrives_over_tcp() -> None:
    many = "".join(f"big A 10.0.{at // 250}.{at % 250 + 1}\n" for at in range(400))
    with DnsServer({"example.test": HEAD + many}) as server:
        assert _judged(server, "big") == {("warning", "unregistered", "big.example.test")}


def test_a_host_that_drips_bytes_holds_nobody_up(certificates: Certificates) -> None:
    import asyncio
    import time

    from sso.exposure import http_asking

    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n")
        while not writer.is_closing():
            writer.write(b"x")
            await asyncio.sleep(0.01)

    async def ask() -> Any:
        server = await asyncio.start_server(drip, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        prober = http_asking.Prober(ports=(port, port), local=True, authority=str(certificates.ca))
        try:
            return await prober.probe(Host("a.example.test", ("list",), Lookup("found", (), ("127.0.0.1",))))
        finally:
            server.close()

    began = time.monotonic()
    plain, secure = asyncio.run(ask())
    assert (plain.state, secure.state) == ("silent", "silent")
    assert time.monotonic() - began < 4 * http_asking.PATIENCE


@pytest.mark.parametrize(
    "address", ["127.0.0.1", "169.254.169.254", "::1", "fe80::1", "0.0.0.0", "::ffff:127.0.0.1"]
)
def test_whoever_writes_a_record_cannot_have_the_server_ask_itself(address: str) -> None:
    from sso.exposure.http_asking import Prober

    assert Prober()._address((address,)) is None
    assert Prober()._address((address, "192.0.43.8")) == "192.0.43.8"


# -- what is asked for


def test_a_zone_file_may_read_no_other_file(tmp_path: Path) -> None:
    with pytest.raises(SourceRefused, match="not a zone file"):
        read_zone("$INCLUDE /etc/passwd\n", "example.test")


@pytest.mark.parametrize("text", ["not a zone", "\x00\x01", "www IN A 999.1.1.1\n"])
def test_what_is_no_zone_file_is_said_to_be_none(text: str) -> None:
    with pytest.raises(SourceRefused, match="Give the zone"):
        read_zone(text, "example.test")


def test_a_line_that_is_no_name_is_named() -> None:
    with pytest.raises(SourceRefused, match="line 2 is no host name"):
        read_list("www\nhttps://x/\n", "example.test")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--site", "example.net"], "is no site. Name one of: example.test, other.test"),
        (["--names", "x"], "a file belongs to one site"),
        (["--site", "example.test", "--names", "/no/such"], "No such file"),
        (["--site", "example.test", "--resolver", "dns.google"], "not an address"),
        (["--site", "example.test", "--own", "-"], "not a domain name"),
        (["--site", "example.test", "--resolver", "9.9.9.9:0"], "not an address"),
    ],
)
def test_what_cannot_be_audited_is_one_clear_line(words: list[str], says: str) -> None:
    with pytest.raises(CommandError, match=says) as refused:
        call_command("audit_domain", *words, stdout=io.StringIO())
    assert refused.value.returncode == 2


def test_names_of_this_machine_alone_cannot_be_audited(settings: Any) -> None:
    settings.SSO_SITES = Sites.parse("example.localhost=http://auth.example.localhost:8000")
    with pytest.raises(CommandError, match="Set SSO_SITES"):
        call_command("audit_domain", stdout=io.StringIO())


# -- words


def test_every_finding_says_why_and_what_to_do(audit: Callable[..., tuple[int, Any]], zone_file: str) -> None:
    _, text = audit("--site", "example.test", "--zone-file", zone_file)
    assert "%(" not in text
    assert "gone.hoster.test is free: whoever takes it runs old.example.test" in text
    assert text.index("NOTICE  young") < text.index("CRITICAL  old")


def test_every_code_has_its_words() -> None:
    from sso.exposure.values import Finding

    about = {"target": "t.test", "days": "1", "status": "200"}
    for code in WORDS:
        finding = Finding(code, "warning", "a.example.test", about)
        assert "%(" not in why(finding) + remedy(finding)
        assert why(finding).endswith(".")
    assert {code for _, code, _ in WRONG} | {"wildcard", "not_looked_up"} == set(WORDS)


@pytest.mark.parametrize(
    ("header", "read"),
    [
        ("max-age=31536000", (31536000, False, False)),
        ('max-age="100"; includeSubDomains; preload', (100, True, True)),
        ("MAX-AGE=5 ; INCLUDESUBDOMAINS", (5, True, False)),
        ("includeSubDomains", None),
        ("max-age=1; max-age=2", None),
        ("max-age=-1", None),
        (None, None),
    ],
)
def test_hsts_is_read_as_browsers_do(header: str | None, read: tuple[int, bool, bool] | None) -> None:
    assert read_hsts(header) == read


# -- a narrower domain


def _found(*names: str) -> tuple[Host, ...]:
    return tuple(Host(name, ("list",), Lookup("found", (), ("10.0.0.1",))) for name in names)


def test_a_narrower_domain_that_holds_everything_is_suggested() -> None:
    domain = Domain(
        "example.test", "auth.in.example.test", {"wiki.in.example.test": "wiki"}, ("example.test",)
    )
    found = suggest(
        domain, _found("auth.in.example.test", "wiki.in.example.test", "www.example.test", "example.test")
    )
    assert found is not None
    assert (found.domain, found.hub, found.spared, found.moves) == (
        "in.example.test",
        "auth.in.example.test",
        2,
        {},
    )


def test_where_none_holds_everything_one_to_move_to_is_suggested() -> None:
    domain = Domain(
        "example.test", "auth.example.test", {"wiki.example.test": "wiki", "example.test": "home"}
    )
    found = suggest(
        domain, _found("auth.example.test", "wiki.example.test", "app.example.test", "example.test")
    )
    assert found is not None
    assert (found.domain, found.spared) == ("apps.example.test", 1)
    assert found.moves == {
        "auth.example.test": "auth.apps.example.test",
        "wiki.example.test": "wiki.apps.example.test",
        "example.test": "home.apps.example.test",
    }


def test_where_nobody_would_be_spared_nothing_is_suggested() -> None:
    domain = Domain("example.test", "auth.example.test", {"wiki.example.test": "wiki"})
    assert suggest(domain, _found("auth.example.test", "wiki.example.test")) is None
    assert suggest(Domain("example.test", "auth.example.test"), _found("www.example.test")) is None


def test_a_preloaded_domain_needs_no_hsts_of_its_hosts() -> None:
    from sso.exposure.values import Probe

    domain = Domain("example.test", "auth.example.test", {}, ("example.test",))
    apex = Host("example.test", ("site",), Lookup("found", (), ("10.0.0.1",)))
    hub = Host("auth.example.test", ("hub",), Lookup("found", (), ("10.0.0.1",)), https=Probe("answers", 200))
    for hsts, codes in (
        ("max-age=63072000; includeSubDomains; preload", set()),
        ("max-age=63072000", {"no_hsts"}),
    ):
        known = Host(apex.name, apex.sources, apex.lookup, https=Probe("answers", 200, hsts=hsts))
        assert {f.code for f in judge(domain, (known, hub)) if f.host == hub.name} == codes


# -- kept


def test_a_saved_audit_is_the_one_that_is_shown_and_old_ones_go(
    audit: Callable[..., tuple[int, Any]], zone_file: str
) -> None:
    audit("--site", "example.test", "--zone-file", zone_file, "--save", "--no-http")
    saved = models.latest("example.test")
    assert saved is not None
    report = saved.report
    assert isinstance(report, Report)
    assert {f.code for f in report.findings} >= {"dangling_cname", "third_party"}
    for _ in range(models.KEPT + 3):
        models.save(report)
    assert models.SavedAudit.objects.filter(domain="example.test").count() == models.KEPT
