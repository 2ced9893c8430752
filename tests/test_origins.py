"""Origins are read strictly: one spelling each, and a remedy for every other."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sso.origins import Origin, is_beneath, is_host_name
from tests.support.corpora import corpus


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("https://wiki.example.com", ("https", "wiki.example.com", 443)),
        ("https://wiki.example.com:8443", ("https", "wiki.example.com", 8443)),
        ("https://wiki.example.com:80", ("https", "wiki.example.com", 80)),
        ("http://wiki.example.localhost:8001", ("http", "wiki.example.localhost", 8001)),
        ("http://wiki.localhost", ("http", "wiki.localhost", 80)),
        ("https://xn--mnchen-3ya.example", ("https", "xn--mnchen-3ya.example", 443)),
        ("https://intranet", ("https", "intranet", 443)),
        ("https://1.2.3.example", ("https", "1.2.3.example", 443)),
    ],
)
def test_a_serialised_origin_is_read_and_written_the_same(text, parts):
    origin = Origin.parse(text)
    assert (origin.scheme, origin.host, origin.port) == parts
    assert str(origin) == text


@pytest.mark.parametrize(
    ("text", "remedy"),
    [
        pytest.param("wiki.example.com", "Write https://host", id="no scheme"),
        pytest.param("https://wiki.example.com/", "Write https://wiki.example.com", id="a slash"),
        pytest.param("https://wiki.example.com:443", "Write https://wiki.example.com", id="default port"),
        pytest.param("http://x.localhost:80", "Write http://x.localhost", id="default port of http"),
        pytest.param("http://wiki.example.com", "Use https", id="plain http"),
        pytest.param("http://localhost:3000", "Use https", id="bare localhost"),
        pytest.param("http://localhost.evil.test", "Use https", id="localhost in front"),
        pytest.param("ftp://wiki.example.com", "Write https://", id="another scheme"),
        pytest.param("https://Wiki.example.com", "location.origin", id="upper case"),
        pytest.param("https://münchen.example", "location.origin", id="not ASCII"),
        pytest.param("https://wiki.example.com.", "location.origin", id="trailing dot"),
        pytest.param("https://10.0.0.1", "location.origin", id="IPv4"),
        pytest.param("https://[::1]", "Leave it out", id="IPv6"),
        pytest.param("https://2130706433", "location.origin", id="a number browsers read as IPv4"),
        pytest.param("https://a.0x7f", "location.origin", id="hexadecimal last label"),
        pytest.param("https://wiki_1.example.com", "location.origin", id="underscore"),
        pytest.param("https://*.example.com", "location.origin", id="wildcard"),
        pytest.param("https://wiki.example.com:0", "Leave it out", id="port zero"),
        pytest.param("https://wiki.example.com:", "Leave it out", id="empty port"),
        pytest.param("https://wiki.example.com:65536", "Leave it out", id="port too high"),
        pytest.param("https://wiki.example.com:08443", "Leave it out", id="leading zero"),
        pytest.param("https://wiki.example.com:8443:1", "Leave it out", id="two ports"),
        pytest.param("https://wiki.example.com:٨", "Leave it out", id="Arabic digit"),
        pytest.param("https://ada@wiki.example.com", "such as", id="userinfo"),
        pytest.param("https://wiki.example.com\n", "such as", id="line feed"),
        pytest.param("https://", "such as", id="no host"),
        pytest.param("null", "Write https://host", id="null"),
        pytest.param("", "Write https://host", id="empty"),
        pytest.param(f"https://{'a' * 64}.example", "location.origin", id="label of 64"),
        pytest.param(f"https://{'a.' * 127}example", "location.origin", id="name of 261"),
    ],
)
def test_any_other_spelling_is_refused_with_a_remedy(text, remedy):
    with pytest.raises(ValueError, match=remedy.replace("/", "\\/").replace(".", "\\.")):
        Origin.parse(text)


@given(st.text(max_size=40) | st.from_regex(r"https?://[a-zA-Z0-9.:@/\\-]{0,30}", fullmatch=True))
def test_whatever_is_accepted_is_spelled_exactly_so(text):
    try:
        origin = Origin.parse(text)
    except ValueError:
        return
    assert str(origin) == text
    assert origin.scheme == "https" or origin.host.endswith(".localhost")


def test_an_origin_is_a_value():
    assert Origin.parse("https://a.example") in {Origin("https", "a.example", 443)}
    assert Origin.parse("https://a.example") != Origin.parse("https://a.example:8443")
    assert Origin.parse("https://a.example:8443").netloc == "a.example:8443"


@pytest.mark.parametrize(
    ("host", "inside"),
    [
        ("example.com", True),
        ("a.example.com", True),
        ("aexample.com", False),
        ("example.com.evil.test", False),
        ("com", False),
    ],
)
def test_only_names_with_a_dot_before_the_domain_are_beneath_it(host, inside):
    assert is_beneath(host, "example.com") is inside


@pytest.mark.parametrize("text", ["", ".", "-a.b", "a-.b", "a..b", "a b", "a%41", "a\x00", "127.1", "0x7f.1"])
def test_what_is_no_host_name(text):
    assert not is_host_name(text)


def test_the_public_corpus_of_origins_has_no_wrong_verdict():
    registered = {Origin.parse(o) for o in ("https://app1.example.test", "https://app2.example.test:8443")}

    def allowed(text):
        try:
            return Origin.parse(text) in registered
        except ValueError:
            return False

    rows = corpus("origins")
    assert [row for row in rows if allowed(row["origin"]) is not row["should_allow"] and row["hard"]] == []
    assert allowed("https://app2.example.test:8443")
