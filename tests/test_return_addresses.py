"""Return addresses: only registered origins, rebuilt from parts, and read by browsers as we wrote them."""

import json
import re
import shutil
import subprocess

import pytest
from django.http import QueryDict
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sso.errors import BadRequest, ReturnAddressRefused
from sso.origins import Origin, is_beneath
from sso.return_addresses import LONGEST, from_query, registered_form, resolve
from tests.support.corpora import corpus

HUB = Origin.parse("https://auth.example.com")
REGISTERED = {
    Origin.parse("https://wiki.example.com"): (),
    Origin.parse("https://shop.example.com:8443"): (),
    Origin.parse("https://xn--mnchen-3ya.example"): (),
    Origin.parse("http://wiki.example.localhost:8001"): (),
    Origin.parse("https://bank.example.com"): (
        "https://bank.example.com/cb",
        "https://bank.example.com/b%20c",
    ),
}


def go(raw):
    return resolve(raw, hub=HUB, origins=REGISTERED.get)


@pytest.mark.parametrize(
    ("raw", "address"),
    [
        ("https://wiki.example.com", "https://wiki.example.com/"),
        ("https://wiki.example.com/a/b?c=d&e#f", "https://wiki.example.com/a/b?c=d&e#f"),
        ("https://wiki.example.com:443/", "https://wiki.example.com/"),
        ("HTTPS://Wiki.Example.COM/Path", "https://wiki.example.com/Path"),
        ("https://wiki.example.com?q=1", "https://wiki.example.com/?q=1"),
        ("https://wiki.example.com#top", "https://wiki.example.com/#top"),
        ("https://shop.example.com:8443/x", "https://shop.example.com:8443/x"),
        ("https://xn--mnchen-3ya.example/", "https://xn--mnchen-3ya.example/"),
        ("http://wiki.example.localhost:8001/x", "http://wiki.example.localhost:8001/x"),
        ("https://auth.example.com/account/", "https://auth.example.com/account/"),
        ("/", "https://auth.example.com/"),
        ("/account/?tab=2#x", "https://auth.example.com/account/?tab=2#x"),
        ("/a//b", "https://auth.example.com/a//b"),
        ("/%2f%2fevil.test", "https://auth.example.com/%2f%2fevil.test"),
        ("/@evil.test", "https://auth.example.com/@evil.test"),
        ("/https://evil.test", "https://auth.example.com/https://evil.test"),
    ],
)
def test_an_address_that_belongs_to_us_is_rebuilt(raw, address):
    assert go(raw) == address
    assert go(address) == address


@pytest.mark.parametrize(
    "query",
    [
        "?a=1&a=2&b",
        "?next=https://evil.test/%0d%0a&x=%2F..%2F",
        "?q=a+b%20c%2B",
        "?q=(a)*'b'!$;,:@/?",
        "?",
        "??",
        "?a=%C3%A9%FF",
    ],
)
def test_a_legal_query_comes_back_byte_for_byte(query):
    assert go(f"https://wiki.example.com/search{query}") == f"https://wiki.example.com/search{query}"


@pytest.mark.parametrize(
    ("raw", "address"),
    [
        ("/a b", "/a%20b"),
        ("/ü?q=ü#ü", "/%C3%BC?q=%C3%BC#%C3%BC"),
        ('/"><script>', "/%22%3E%3Cscript%3E"),
        ("/?q=100%&r=%zz", "/?q=100%25&r=%25zz"),
        ("/?q={a|b}^`[c]", "/?q=%7Ba%7Cb%7D%5E%60%5Bc%5D"),
        ("/#a#b", "/#a%23b"),
        ("/\u3000\u2028\U0001f600", "/%E3%80%80%E2%80%A8%F0%9F%98%80"),
    ],
)
def test_what_has_no_place_in_an_address_is_percent_encoded(raw, address):
    assert go(raw) == f"{HUB}{address}"


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param("", id="empty"),
        pytest.param("account/", id="relative"),
        pytest.param("?x", id="query only"),
        pytest.param("#x", id="fragment only"),
        pytest.param("//evil.test", id="scheme-relative"),
        pytest.param("//wiki.example.com/", id="scheme-relative to a registered host"),
        pytest.param("///evil.test", id="three slashes"),
        pytest.param("/\\evil.test", id="slash backslash"),
        pytest.param("\\\\evil.test", id="two backslashes"),
        pytest.param("https:\\\\wiki.example.com", id="backslashes for slashes"),
        pytest.param("https://wiki.example.com\\@evil.test", id="backslash before userinfo"),
        pytest.param("/x?y=\\", id="backslash in a query"),
        pytest.param("/\t/evil.test", id="tab"),
        pytest.param("/\n/evil.test", id="line feed"),
        pytest.param("https://wiki.example.com/\r\nSet-Cookie: a=b", id="header injection"),
        pytest.param("/\x00", id="NUL"),
        pytest.param("/\x7f", id="DEL"),
        pytest.param("/\x85", id="C1 control"),
        pytest.param("/\ud800", id="half a surrogate pair"),
        pytest.param(" /", id="space in front"),
        pytest.param("/ ", id="space behind"),
        pytest.param("\u3000/", id="wide space in front"),
        pytest.param("https:wiki.example.com", id="no slashes"),
        pytest.param("https:/wiki.example.com", id="one slash"),
        pytest.param("https:///wiki.example.com", id="three slashes after the scheme"),
        pytest.param("http://wiki.example.com/", id="plain http"),
        pytest.param("javascript:alert(1)", id="script"),
        pytest.param("javascript://wiki.example.com/%0aalert(1)", id="script with a host"),
        pytest.param("data:text/html,x", id="data"),
        pytest.param("ftp://wiki.example.com/", id="ftp"),
        pytest.param("https://evil.test/", id="unregistered"),
        pytest.param("https://wiki.example.com.evil.test/", id="name as prefix"),
        pytest.param("https://evilwiki.example.com/", id="name as suffix"),
        pytest.param("https://x.wiki.example.com/", id="below a registered host"),
        pytest.param("https://example.com/", id="the parent domain"),
        pytest.param("https://wiki.example.com./", id="trailing dot"),
        pytest.param("https://wiki.example.com@evil.test/", id="name as user"),
        pytest.param("https://ada@wiki.example.com/", id="user"),
        pytest.param("https://@wiki.example.com/", id="empty user"),
        pytest.param("https://wiki.example.com:8443/", id="another port"),
        pytest.param("https://wiki.example.com:80/", id="the other scheme's port"),
        pytest.param("https://shop.example.com/", id="no port"),
        pytest.param("https://wiki.example.com:/", id="empty port"),
        pytest.param("https://wiki.example.com:0443/", id="leading zero"),
        pytest.param("https://wiki.example.com:99999/", id="port too high"),
        pytest.param("http://wiki.example.localhost/", id="no port under localhost"),
        pytest.param("https://wiki.example.localhost:8001/", id="https for http"),
        pytest.param("https://münchen.example/", id="the Unicode form of a registered name"),
        pytest.param("https://wiki\u3002example.com/", id="ideographic full stop"),
        pytest.param("https://w\u0131ki.example.com/", id="dotless i"),
        pytest.param("https://wi\u212ai.example.com/", id="Kelvin sign"),
        pytest.param("https://wiki%2eexample.com/", id="escaped dot"),
        pytest.param("https://wiki.example.com%00.evil.test/", id="escaped NUL"),
        pytest.param("https://wi\u00adki.example.com/", id="soft hyphen"),
        pytest.param("https://[::1]/", id="IPv6"),
        pytest.param("https://127.0.0.1/", id="IPv4"),
        pytest.param("/a/../b", id="dot segments"),
        pytest.param("/.//evil.test", id="dot before slashes"),
        pytest.param("/a/%2E%2e", id="escaped dot segments"),
        pytest.param("https://bank.example.com/", id="not the registered path"),
        pytest.param("https://bank.example.com/cb/", id="one more slash"),
        pytest.param("https://bank.example.com/CB", id="another case"),
        pytest.param("https://bank.example.com/cb/../x", id="out of the registered path"),
        pytest.param("https://bank.example.com/cb%2f", id="escaped slash"),
        pytest.param("https://bank.example.com/%63b", id="escaped letter"),
        pytest.param("/" + "a" * LONGEST, id="too long"),
        pytest.param("/" + "ü" * (LONGEST // 3), id="too long once encoded"),
    ],
)
def test_anything_else_is_refused(raw):
    with pytest.raises(ReturnAddressRefused):
        go(raw)


@pytest.mark.parametrize("tail", ["", "?code=1&state=x", "#done"])
def test_an_exact_return_address_takes_any_query(tail):
    assert go(f"https://bank.example.com/cb{tail}") == f"https://bank.example.com/cb{tail}"


def test_an_exact_return_address_is_compared_in_its_rebuilt_form():
    assert go("https://BANK.example.com:443/b c") == "https://bank.example.com/b%20c"


def test_a_hub_under_localhost_is_its_own():
    hub = Origin.parse("http://auth.example.localhost:8000")
    assert resolve("/a", hub=hub, origins={}.get) == "http://auth.example.localhost:8000/a"
    assert resolve(f"{hub}/a", hub=hub, origins={}.get) == "http://auth.example.localhost:8000/a"


def test_a_refusal_keeps_the_address_out_of_the_public_answer():
    with pytest.raises(ReturnAddressRefused) as refused:
        go("https://evil.test/secret")
    assert "evil" not in refused.value.public
    assert (refused.value.status, refused.value.code) == (400, "return_address_refused")


@pytest.mark.parametrize(
    "text", ["https://a.example/cb", "https://a.example:8443/", "http://a.localhost:1/x%20y"]
)
def test_a_registered_form_stays_as_it_is(text):
    assert registered_form(text) == text


def test_registering_gives_the_spelling_that_is_compared():
    assert registered_form("https://A.example:443/b c") == "https://a.example/b%20c"


@pytest.mark.parametrize(
    "text", ["/cb", "https://a.example/cb?x", "https://a.example/#", "http://a.example/", "a"]
)
def test_only_scheme_host_and_path_can_be_registered(text):
    with pytest.raises(ValueError, match="Write https://host/path"):
        registered_form(text)


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("rd=/a", "/a"),
        ("next=/a", "/a"),
        ("return_to=/a", "/a"),
        ("url=/a", "/a"),
        ("redirect_uri=/a", "/a"),
        ("next=/b&rd=/a", "/a"),
        ("rd=&next=/b", "/b"),
        ("rd=/a&rd=/a", "/a"),
        ("rd=%2Fa%3Fb%253D", "/a?b%3D"),
        ("RD=/a", None),
        ("", None),
    ],
)
def test_the_parameter_has_five_names_and_ours_comes_first(query, found):
    assert from_query(QueryDict(query)) == found


def test_two_different_values_are_refused_rather_than_chosen_from():
    with pytest.raises(BadRequest):
        from_query(QueryDict("rd=/a&rd=/b"))


# -- the public corpus


CORPUS_HUB = Origin.parse("https://auth.example.test")


def corpus_policy(origin):
    """example.test and all below it on the default port, and app2 on 8443."""
    inside = origin.is_secure and is_beneath(origin.host, "example.test")
    return () if inside and (origin.port == 443 or origin.netloc == "app2.example.test:8443") else None


def verdict(row):
    try:
        return resolve(row["value"], hub=CORPUS_HUB, origins=corpus_policy)
    except ReturnAddressRefused:
        return None


def test_the_public_corpus_of_return_addresses_has_no_wrong_verdict():
    rows = [row for row in corpus("return_urls") if row["hard"]]
    assert [row for row in rows if (verdict(row) is not None) is not row["should_allow"]] == []


def test_every_row_of_the_corpus_lands_inside_or_nowhere():
    for row in corpus("return_urls"):
        if (address := verdict(row)) is None:
            continue
        host = re.fullmatch(r"https://([a-z0-9.-]+)(?::8443)?(?:[/][!-~]*)", address)
        assert host, row
        assert is_beneath(host[1], "example.test"), row
        # None: a browser refuses the name (invalid xn--), so it goes nowhere
        assert row["lands_on_host"] in (host[1], None), row


# -- what a browser makes of it

NODE = shutil.which("node")
LANDING = """
const rows = JSON.parse(require("fs").readFileSync(0, "utf8"));
console.log(JSON.stringify(rows.map((row) => {
  try { const url = new URL(row, "https://auth.example.com/login/"); return [url.origin, url.href]; }
  catch { return null; }
})));
"""
PIECES = st.sampled_from(
    [
        *(
            "https://",
            "http://",
            "HTTPS:",
            "/",
            "//",
            "\\",
            "@",
            ":",
            ":443",
            ":8443",
            "?",
            "#",
            ".",
            "..",
            "%2e",
        ),
        *("wiki.example.com", "shop.example.com", "evil.test", "xn--mnchen-3ya.example", "%", "%0d%0a", "\t"),
        *("'", '"', "<", "{", "|", "^", "`", "[", "]", " ", "\u3000", "ü", "javascript:", "a", "&=+;,!$()*~"),
    ]
) | st.text(max_size=3)
ADDRESSES = st.lists(PIECES, max_size=7).map("".join)
PREFIXES = st.sampled_from(["", "/", "https://wiki.example.com", "https://shop.example.com:8443/"])


@pytest.mark.skipif(NODE is None, reason="node is not installed")
def test_a_browser_lands_where_the_rebuilt_address_says():
    found = {}

    @settings(max_examples=3000, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(PREFIXES, ADDRESSES)
    def collect(prefix, rest):
        try:
            found[prefix + rest] = go(prefix + rest)
        except ReturnAddressRefused:
            return

    collect()
    assert len(found) > 100, "too few were accepted to prove anything"
    raws, rebuilt = list(found), list(found.values())
    answer = subprocess.run(
        [NODE, "-e", LANDING],
        input=json.dumps(raws + rebuilt),
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    landings = json.loads(answer.stdout)
    for raw, address, before, after in zip(
        raws, rebuilt, landings[: len(raws)], landings[len(raws) :], strict=True
    ):
        origin = Origin.parse(after[0])
        assert origin == HUB or origin in REGISTERED, (raw, address)
        assert address.startswith(f"{origin}/"), (raw, address)
        # the only byte a browser spells differently from RFC 3986 in a query
        path, mark, rest = address.partition("?")
        query, hash_mark, fragment = rest.partition("#")
        if "#" in path:
            assert after[1] == address, (raw, address)
        else:
            assert after[1] == path + mark + query.replace("'", "%27") + hash_mark + fragment, (raw, address)
        assert before[0] == after[0], (raw, address)
