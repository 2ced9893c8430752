"""Access rules: what each line of a policy means, and that no spelling of a path gets round one."""

import tracemalloc
from ipaddress import ip_address

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sso.access import AccessPolicy, Person, Rule, Verdict, decide, path_matches, satisfies
from sso.edge.errors import TargetRefused
from sso.edge.targets import read_target
from tests.support.programs import ROOT

NOW = 1_795_220_000
ADA = Person(groups=("staff",), amr=("pwd",), auth_time=NOW - 600)
WITH_OTP = Person(groups=("staff",), amr=("pwd", "otp"), auth_time=NOW - 600)
MALLORY = Person(groups=("guests",), amr=("pwd",), auth_time=NOW - 600)


def judge(
    policy: AccessPolicy,
    path: str = "/",
    *,
    method: str = "GET",
    address: str | None = "203.0.113.9",
    person: Person | None = ADA,
    app_groups: tuple[str, ...] = (),
) -> Verdict:
    """``decide`` with the arguments most tests do not care about."""
    return decide(
        policy,
        app_groups=app_groups,
        path=path,
        method=method,
        address=ip_address(address) if address else None,
        person=person,
        now=NOW,
    )


def policy(*rules: Rule, default: str = "signed_in") -> AccessPolicy:
    return AccessPolicy(default=default, rules=rules)  # type: ignore[arg-type]


# -- the default and the app's people


@pytest.mark.parametrize(
    ("default", "person", "kind"),
    [
        ("public", None, "public"),
        ("public", ADA, "public"),
        ("signed_in", None, "sign_in"),
        ("signed_in", ADA, "signed_in"),
        ("refused", None, "refused"),
        ("refused", ADA, "refused"),
    ],
)
def test_without_rules_the_default_decides(default, person, kind):
    verdict = judge(policy(default=default), person=person)
    assert (verdict.kind, verdict.rule_id) == (kind, "default")
    assert verdict.allows is (kind in ("public", "signed_in"))


@pytest.mark.parametrize(
    ("groups", "person", "kind", "rule_id"),
    [
        pytest.param((), MALLORY, "signed_in", "default", id="no groups: everybody who is signed in"),
        pytest.param(("staff",), ADA, "signed_in", "default", id="a member"),
        pytest.param(("admins", "staff"), ADA, "signed_in", "default", id="a member of one of two"),
        pytest.param(("staff",), MALLORY, "refused", "app-groups", id="somebody else"),
        pytest.param(("Staff",), ADA, "refused", "app-groups", id="another spelling is another group"),
        pytest.param(("staff",), None, "sign_in", "default", id="nobody is asked to sign in first"),
    ],
)
def test_the_groups_of_an_app_say_who_is_let_in_at_all(groups, person, kind, rule_id):
    verdict = judge(policy(), person=person, app_groups=groups)
    assert (verdict.kind, verdict.rule_id) == (kind, rule_id)


def test_a_public_rule_is_public_for_people_outside_the_apps_groups_too():
    rules = policy(Rule(id="logo", verdict="public", path="/logo.png"))
    assert judge(rules, "/logo.png", person=MALLORY, app_groups=("staff",)).kind == "public"


# -- order and selection


def test_the_first_rule_that_fits_decides_and_names_itself():
    rules = policy(
        Rule(id="health", verdict="public", path="/admin/health"),
        Rule(id="admin", verdict="refused", path="/admin/**"),
        Rule(id="late", verdict="public", path="/admin/**"),
    )
    assert judge(rules, "/admin/health", person=None).rule_id == "health"
    refused = judge(rules, "/admin/users")
    assert (refused.kind, refused.rule_id) == ("refused", "admin")


@pytest.mark.parametrize(
    ("pattern", "path", "matches"),
    [
        ("/admin", "/admin", True),
        ("/admin", "/admin/", True),
        ("/admin/", "/admin", True),
        ("/admin", "/ADMIN", True),
        ("/admin", "/admin/x", False),
        ("/admin", "/admins", False),
        ("/admin/**", "/admin", True),
        ("/admin/**", "/admin/", True),
        ("/admin/**", "/Admin/a/b/c", True),
        ("/admin/**", "/administrator", False),
        ("/admin/**", "/x/admin", False),
        ("/a/*/c", "/a/b/c", True),
        ("/a/*/c", "/a/c", False),
        ("/a/*/c", "/a/b/b/c", False),
        ("/**/secret", "/secret", True),
        ("/**/secret", "/a/b/secret", True),
        ("/**/secret/**", "/a/secret/b", True),
        ("/*.css", "/site.css", True),
        ("/*.css", "/a/site.css", False),
        ("/**/*.css", "/a/b/site.css", True),
        ("/a*b*c", "/aXbYc", True),
        ("/a*b*c", "/aXcYb", False),
        ("/**", "/", True),
        ("/*", "/", False),
        ("/", "/", True),
        ("/", "/x", False),
        ("/straße", "/STRASSE", True),
        ("/caf\u00e9", "/cafe\u0301", True),
        ("/a.c", "/abc", False),
    ],
)
def test_a_pattern_matches_whole_segments_whatever_case_and_final_slash(pattern, path, matches):
    assert path_matches(pattern, path) is matches


def test_a_hostile_pattern_and_path_are_matched_in_no_time():
    pattern = "/" + "a*" * 200 + "b"
    assert not path_matches(pattern, "/" + "a" * 8000)
    assert not path_matches("/**/a" * 60 + "/b", "/a" * 4000)


@pytest.mark.parametrize(
    ("methods", "method", "fits"),
    [
        ((), "DELETE", True),
        (("GET",), "GET", True),
        (("GET",), "HEAD", True),
        (("GET",), "POST", False),
        (("HEAD",), "GET", False),
    ],
)
def test_a_rule_for_methods_fits_those_and_head_like_get(methods, method, fits):
    rules = policy(Rule(id="r", verdict="public", methods=methods), default="refused")
    assert judge(rules, method=method).allows is fits


@pytest.mark.parametrize(
    ("address", "verdict", "fits"),
    [
        ("10.1.2.3", "public", True),
        ("2001:db8::7", "public", True),
        ("203.0.113.9", "public", False),
        (None, "public", False),
        ("10.1.2.3", "refused", True),
        (None, "refused", True),
        ("203.0.113.9", "refused", False),
    ],
)
def test_a_rule_for_networks_fits_clients_in_them_and_an_unknown_address_never_opens(address, verdict, fits):
    rules = policy(Rule(id="net", verdict=verdict, networks=("10.0.0.0/8", "2001:db8::/32")))
    assert (judge(rules, address=address).rule_id == "net") is fits


# -- what a signed_in rule asks of the person


def test_whoever_lacks_a_rules_group_is_refused_and_not_passed_on_to_a_weaker_rule():
    rules = policy(
        Rule(id="admin", verdict="signed_in", path="/admin/**", groups=("staff",)), default="public"
    )
    assert judge(rules, "/admin/x", person=ADA).kind == "signed_in"
    refused = judge(rules, "/admin/x", person=MALLORY)
    assert (refused.kind, refused.rule_id) == ("refused", "admin")
    assert judge(rules, "/admin/x", person=None).kind == "sign_in"


def test_a_refused_rule_with_groups_turns_away_only_their_members():
    rules = policy(Rule(id="no-guests", verdict="refused", groups=("guests",)))
    assert judge(rules, person=MALLORY).kind == "refused"
    assert judge(rules, person=ADA).kind == "signed_in"
    assert judge(rules, person=None).kind == "sign_in"


@pytest.mark.asvs("6.3.3")
def test_a_weaker_sign_in_than_the_rule_asks_for_is_a_step_up_that_says_what_is_missing():
    rules = policy(Rule(id="safe", verdict="signed_in", amr=("otp",)))
    verdict = judge(rules, person=ADA)
    assert (verdict.kind, verdict.rule_id, verdict.amr) == ("step_up", "safe", ("otp",))
    assert not verdict.allows
    assert judge(rules, person=WITH_OTP).kind == "signed_in"


@pytest.mark.asvs("6.3.3")
@pytest.mark.parametrize(
    ("amr", "enough"),
    [
        (("pwd",), False),
        (("pwd", "pin"), False),
        (("otp", "sms"), False),
        (("pwd", "otp"), True),
        (("hwk", "fpt"), True),
        (("mfa",), True),
        ((), False),
    ],
)
def test_mfa_is_two_kinds_of_factor_and_not_two_of_one_kind(amr, enough):
    assert satisfies("mfa", amr) is enough


@pytest.mark.asvs("7.6.1")
@pytest.mark.parametrize(("max_age", "kind"), [(599, "step_up"), (600, "signed_in"), (0, "signed_in")])
def test_a_sign_in_older_than_the_rule_allows_is_a_step_up(max_age, kind):
    verdict = judge(policy(Rule(id="fresh", verdict="signed_in", max_age=max_age)))
    assert verdict.kind == kind


def test_the_group_is_asked_before_the_step_up_so_that_nobody_confirms_in_vain():
    rules = policy(Rule(id="r", verdict="signed_in", groups=("staff",), amr=("otp",), max_age=1))
    assert judge(rules, person=MALLORY).kind == "refused"


# -- rules that could not mean what their writer thought


@pytest.mark.parametrize(
    ("fields", "word"),
    [
        ({"id": ""}, "rule id"),
        ({"id": "default"}, "rule id"),
        ({"id": "a b"}, "rule id"),
        ({"path": "admin"}, "start with '/'"),
        ({"path": "/a//b"}, "decoded"),
        ({"path": "/a%20b"}, "decoded"),
        ({"path": "/a?b"}, "decoded"),
        ({"path": "/a/../b"}, "'..'"),
        ({"path": "/a**"}, "alone"),
        ({"path": "/a\nb"}, "decoded"),
        ({"path": "/" + "a" * 600}, "at most"),
        ({"methods": ("get",)}, "upper case"),
        ({"networks": ("10.0.0.1/8",)}, "host bits"),
        ({"networks": ("office",)}, "networks"),
        ({"amr": ("Mfa!",)}, "RFC 8176"),
        ({"max_age": -1}, "seconds"),
        ({"verdict": "public", "groups": ("staff",)}, "make it signed_in"),
        ({"verdict": "public", "max_age": 5}, "make it signed_in"),
        ({"verdict": "refused", "amr": ("otp",)}, "make it signed_in"),
    ],
)
def test_an_impossible_rule_is_refused_with_a_remedy_also_when_decoded(fields, word):
    whole = {"id": "r", "verdict": "signed_in", **fields}
    with pytest.raises(ValueError, match=word.replace("(", r"\(")):
        Rule(**whole)
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(msgspec.json.encode({"rules": [whole]}), type=AccessPolicy)


def test_two_rules_with_one_id_are_refused():
    with pytest.raises(ValueError, match="more than once"):
        policy(Rule(id="r", verdict="public"), Rule(id="r", verdict="refused"))


@pytest.mark.parametrize(
    "text", ['{"rules":[{"id":"r","verdict":"signed_in","group":["staff"]}]}', '{"defualt":"refused"}']
)
def test_a_misspelled_field_is_refused_and_not_left_out(text):
    with pytest.raises(msgspec.ValidationError, match="unknown field"):
        msgspec.json.decode(text, type=AccessPolicy)


def test_the_example_in_the_docs_is_a_policy_and_does_what_it_seems_to():
    text = (ROOT / "docs/access-rules.md").read_text()
    rules = msgspec.json.decode(text.partition("```json\n")[2].partition("```")[0], type=AccessPolicy)
    assert judge(rules, "/metrics", address="10.9.9.9", person=None).kind == "public"
    assert judge(rules, "/metrics", person=ADA).rule_id == "nobody"
    assert judge(rules, "/admin/", person=ADA).kind == "step_up"
    assert judge(rules, "/admin/", person=WITH_OTP).kind == "signed_in"
    assert judge(rules, "/", person=None).kind == "sign_in"


def test_a_policy_survives_the_registrys_json():
    rules = policy(
        Rule(
            id="a",
            verdict="signed_in",
            path="/a/**",
            methods=("GET",),
            groups=("g",),
            amr=("mfa",),
            max_age=5,
        ),
        Rule(id="b", verdict="refused", networks=("10.0.0.0/8",)),
        default="public",
    )
    assert msgspec.json.decode(msgspec.json.encode(rules), type=AccessPolicy) == rules


# -- no way round

SEGMENT = st.text(
    st.characters(min_codepoint=33, max_codepoint=0x24F, exclude_characters="/*"), min_size=1, max_size=8
)
WORDS = st.sampled_from(["admin", "public", "a", "résumé", "x.y"])
PATHS = st.lists(WORDS, min_size=1, max_size=4).map(lambda parts: "/" + "/".join(parts))
PATTERNS = st.lists(st.sampled_from(["admin", "public", "a", "*", "**", "r*"]), min_size=1, max_size=3)
RULES = st.lists(
    st.tuples(
        PATTERNS.map(lambda parts: "/" + "/".join(parts)), st.sampled_from(["public", "signed_in", "refused"])
    ),
    max_size=4,
).map(lambda pairs: tuple(Rule(id=f"r{i}", verdict=v, path=p) for i, (p, v) in enumerate(pairs)))  # type: ignore[arg-type]


def escaped(draw: st.DrawFn, text: str) -> str:
    """``text`` on the wire, each octet escaped or not as drawn, in either case of hexadecimal digits."""
    octets = []
    for octet in text.encode():
        plain = chr(octet)
        must = octet > 126 or plain in "%#?;\\ "
        style = draw(st.sampled_from(["%{:02x}", "%{:02X}"] if must else [plain, "%{:02x}", "%{:02X}"]))
        octets.append(style.format(octet))
    return "".join(octets)


@st.composite
def spellings(draw: st.DrawFn) -> tuple[str, str]:
    """A path, and another spelling of it that an app would serve alike."""
    path = draw(PATHS)
    parts = [draw(st.sampled_from([part, part.upper(), part.title()])) for part in path[1:].split("/")]
    wire = "/" + "/".join(escaped(draw, part) for part in parts)
    return path, wire + draw(st.sampled_from(["", "/", "?x=/public", "/?a=1"]))


@given(RULES, spellings())
def test_no_spelling_of_a_path_gets_another_verdict(rules, spelling):
    path, wire = spelling
    target = read_target("GET", "https", "app.example.com", wire)
    assert (
        judge(policy(*rules), target.path, person=None).kind == judge(policy(*rules), path, person=None).kind
    )


@given(
    st.lists(
        st.sampled_from(
            [
                "admin",
                "public",
                "..",
                ".",
                "%2e%2e",
                "%2E.",
                "",
                "x%2fy",
                "a;b",
                "a%3bb",
                "%5c",
                "\\",
                "%252e",
                "%00",
                "%ff",
                "%zz",
            ]
        ),
        min_size=1,
        max_size=5,
    )
)
def test_a_path_that_servers_read_differently_is_refused_whole(parts):
    wire = "/" + "/".join(parts)
    harmless = all(part in ("admin", "public") for part in parts[:-1]) and parts[-1] in (
        "admin",
        "public",
        "",
    )
    try:
        target = read_target("GET", "https", "app.example.com", wire)
    except TargetRefused:
        assert not harmless
    else:
        assert harmless
        assert target.path == wire


@given(st.text(max_size=60))
def test_whatever_text_arrives_is_understood_or_refused_and_never_an_error(text):
    try:
        target = read_target("GET", "https", "app.example.com", text)
    except TargetRefused:
        return
    assert target.path.startswith("/")
    assert target.address.isascii()


@given(SEGMENT)
def test_a_plain_segment_is_matched_by_itself_and_by_a_star(segment):
    try:
        rule = Rule(id="r", verdict="public", path=f"/{segment}")
    except ValueError:
        return
    assert path_matches(rule.path, f"/{segment}")
    assert path_matches("/*", f"/{segment}")


def test_paths_that_strangers_make_up_fill_no_memory():
    tracemalloc.start()
    try:
        for number in range(500):
            assert not path_matches("/admin/**", "/" + "/".join(f"{number:x}{n:x}" for n in range(1500)))
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < 5_000_000, f"{kept} bytes are kept of 500 long paths"
