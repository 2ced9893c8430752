"""The public attack corpora, sent over the wire to every surface that reads what they attack."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, urlencode, urlsplit

import pytest
from sso_client import SessionReader

from tests.support.api import CSRF_COOKIE, HUB_COOKIE, PASSWORD, SHARED_COOKIE, SHOP, WIKI, Browser, Furnished
from tests.support.auth_server import AuthServer
from tests.support.certificates import Certificates
from tests.support.corpora import corpus
from tests.support.http import Answer
from tests.support.line import Line, over_lines
from tests.support.page_visitor import Page
from tests.support.redis_server import RedisServer

HUB = "https://auth.example.test"
SECURE = "https://secure.example.test"
#: What the hub may send people to, link or put into a form: these, and its own paths.
OURS = re.compile(
    rf"(?:{'|'.join(map(re.escape, (HUB, SHOP, WIKI, SECURE)))})/[\x21-\x5b\x5d-\x7e]*", re.ASCII
)
OWN_PATHS = re.compile(
    r"/(?:login/(?:code/)?(?:\?(?:rd|next)=[\w.%~-]+)?|logout/(?:\?rd=[\w.%~-]+)?|password/reset/|language/|trouble/(?:\?rd=[\w.%~-]+)?"
    r"|static/accounts/[\w.-]+)?|#content",
    re.ASCII,
)
FORWARDED = [
    ("X-Forwarded-Method", "GET"),
    ("X-Forwarded-Proto", "https"),
    ("X-Forwarded-Host", "app1.example.test"),
    ("X-Forwarded-Uri", "/"),
]
ORIGINAL = [("X-Original-Method", "GET"), ("X-Original-URL", f"{SHOP}/")]


@pytest.fixture(scope="module")
def house(
    tmp_path_factory: pytest.TempPathFactory, database: Path, certificates: Certificates
) -> Iterator[Furnished]:
    """The corpora's own names: the hub on the default port, apps on 443 and 8443, a proxy that speaks TLS for us."""
    env = {
        "SSO_SITES": "example.test=auth.example.test",
        "SSO_TRUSTED_PROXIES": "127.0.0.1",
        "SSO_REDIS_TIMEOUT": "5",
        "SSO_ACCESS_LOG": "off",
        "SSO_WORKERS": "2",
    }
    with (
        RedisServer() as redis,
        AuthServer(
            tmp_path_factory.mktemp("auth"),
            redis=redis,
            database=database,
            certificates=certificates,
            env=env,
        ) as server,
    ):
        server.host = "auth.example.test"
        furnished = Furnished.at(server)
        server.manage("register_app", "secure", "--origin", SECURE)
        yield furnished


class Guest(Browser):
    """Comes through the proxy, so the port that tests listen on does not show."""

    def __init__(self, house: Furnished) -> None:
        super().__init__(house.server, SHOP)
        self.client.base_url = f"{HUB}:{house.server.port}"
        self.client.headers["host"] = "auth.example.test"

    @cached_property
    def sid(self) -> str:
        return str(self.get("/api/session").json()["sid"])

    def cookies(self, *names: str) -> str:
        return "; ".join(f"{name}={self.cookie(name)}" for name in names)


def arrives(house: Furnished, name: str | None = None) -> Guest:
    """A browser with a CSRF cookie and token, signed in when a name is given."""
    guest = Guest(house)
    if name is None:
        guest.fetch_token()
    else:
        assert guest.sign_in(name).status_code == 200
    return guest


# -- cookies


def who_at_hub(answer: Answer) -> str | None:
    """Whom the start page greets; nobody is sent to sign in."""
    if answer.status == 303:
        assert answer.get("Location") == "/login/"
        return None
    assert answer.status == 200
    return next(name for name in ("ada", "bob") if f"Hello, {name}" in answer.text)


def who_is_told(answer: Answer) -> str | None:
    if answer.status == 401:
        return None
    assert answer.status == 200
    return answer.get("Remote-User") or str(answer.json()["user"]["username"])


def test_every_surface_reads_every_cookie_header_alike_and_right(house: Furnished) -> None:
    ada, bob = arrives(house, "ada"), arrives(house, "bob")
    sids = {ada.sid: "ada", bob.sid: "bob"}
    # Sign-ins of their own: the hub replaces a shared cookie that does not come along with the hub's.
    shared = {name: arrives(house, name).cookie(SHARED_COOKIE) or "" for name in ("ada", "bob")}
    hub = {"ada": ada.cookie(HUB_COOKIE) or "", "bob": bob.cookie(HUB_COOKIE) or ""}
    with SessionReader(house.server.redis.url, timeout=5) as reader:

        def seen(line: Line, row: dict[str, Any]) -> dict[str, str | None]:
            def cookie(name: str, people: dict[str, str]) -> list[tuple[str, str]]:
                return [("Cookie", _filled(text, name, people)) for text in row["headers"]]

            sent = cookie(SHARED_COOKIE, shared)
            session = reader.read("; ".join(text for _, text in sent))
            return {
                "session": who_is_told(line.ask("GET", "/api/session", sent)),
                "forward-auth": who_is_told(line.ask("GET", "/api/authz/forward-auth", sent + FORWARDED)),
                "auth-request": who_is_told(line.ask("GET", "/api/authz/auth-request", sent + ORIGINAL)),
                "sso_client": session.user.username if session else None,
                "start page": who_at_hub(line.ask("GET", "/", cookie(HUB_COOKIE, hub))),
                "sign-ins": _listed(line.ask("GET", "/api/sessions", cookie(HUB_COOKIE, hub)), sids),
            }

        # RFC 9110 §5.5: NUL in a header is to be refused as a whole, and is.
        rows = [row for row in corpus("cookie_headers") if not any("\0" in text for text in row["headers"])]
        found = over_lines(house.server, rows, seen)
    for row, whom in zip(rows, found, strict=True):
        assert len(set(whom.values())) == 1, (row["id"], row["headers"], whom)
        assert whom["session"] in _expected(row["outcome"]), (row["id"], row["headers"], whom)


def test_a_cookie_header_with_a_nul_is_refused_everywhere(house: Furnished) -> None:
    live = arrives(house, "ada").cookies(SHARED_COOKIE)

    def ask(line: Line, path: str) -> int:
        return line.ask("GET", path, [("Cookie", f"x=\0; {live}"), *FORWARDED]).status

    paths = ["/api/session", "/api/authz/forward-auth", "/api/sessions", "/", "/login/"]
    assert over_lines(house.server, paths, ask) == [400] * len(paths)


def _filled(text: str, name: str, people: dict[str, str]) -> str:
    named = text.replace("sso_session", name)
    return named.replace("S_VALID", people["ada"]).replace("S_ATTACKER", people["bob"])


def _listed(answer: Answer, sids: dict[str, str]) -> str | None:
    if answer.status == 401:
        return None
    assert answer.status == 200
    [here] = [one for one in answer.json()["sessions"] if one["current"]]
    return sids[here["sid"]]


def _expected(outcome: str) -> set[str | None]:
    return {
        "victim": {"ada"},
        "anonymous": {None},
        "victim_or_anonymous": {"ada", None},
        "attacker_or_anonymous": {"bob", None},
        "ambiguous": {"ada", None},
    }[outcome]


def test_introspection_takes_no_value_that_a_cookie_header_would_not(house: Furnished) -> None:
    """Every value the corpus' reference parser finds is asked about as it is; only the living one is active."""
    ada = arrives(house, "ada")
    live = ada.cookie(SHARED_COOKIE) or ""
    app = house.apps["shop"]
    basic = b64encode(f"{app.client_id}:{app.secret}".encode()).decode()
    headers = [("Authorization", f"Basic {basic}"), ("Content-Type", "application/x-www-form-urlencoded")]
    values = {
        value.replace("S_VALID", live).encode("latin-1")
        for row in corpus("cookie_headers")
        for value in (*row["sso_values"], *row["headers"])
        if "S_ATTACKER" not in value
    }
    values |= {live.encode(), live.encode() + b" ", b"\xc2\xa0" + live.encode(), live.upper().encode()}

    def ask(line: Line, value: bytes) -> tuple[int, bool]:
        answer = line.ask("POST", "/api/introspect", headers, f"token={quote(value, safe='')}")
        return answer.status, answer.status == 200 and answer.json()["active"]

    asked = sorted(value for value in values if value)
    for value, verdict in zip(asked, over_lines(house.server, asked, ask), strict=True):
        if value == live.encode():
            assert verdict == (200, True)
        else:
            assert verdict in ((200, False), (400, False), (413, False)), value


# -- return addresses


def addresses_on(page: Page) -> Iterator[str]:
    """Everything on a page that a browser might go to or send along."""
    for element in page.elements:
        for name in ("href", "src", "action", "formaction", "data", "srcset", "poster", "ping"):
            if name in element.attributes:
                yield element.attributes[name] or ""
        hidden = element.tag == "input" and element.attributes.get("type") == "hidden"
        if hidden and element.attributes.get("name") != "csrfmiddlewaretoken":
            yield element.attributes.get("value") or ""
        assert element.attributes.get("http-equiv") is None
        assert not any(name.startswith("on") or name == "style" for name in element.attributes)
        assert element.tag != "script" or (element.attributes.get("src") and not element.text)


def wrong_ways(answer: Answer) -> list[str]:
    """Addresses of an answer that lead out of what is registered."""
    found = list(addresses_on(Page(answer.text))) if answer.body else []
    assert answer.get("Refresh") is None
    return [way for way in [*found, *answer.all("Location")] if not _is_ours(way)]


def _is_ours(way: str) -> bool:
    if OURS.fullmatch(way):
        return True
    if not way:
        return True  # a field that a script fills
    query = parse_qs(urlsplit(way).query)
    carried = [*query.get("rd", []), *query.get("next", [])]
    return bool(OWN_PATHS.fullmatch(way)) and all(OURS.fullmatch(address) for address in carried)


class Surface:
    """One way to hand a return address to a page; ``offers`` are the answer's addresses that came from it."""

    def __init__(self, method: str, path: str, guest: Guest, *names: str, **fields: str) -> None:
        self.method, self.path, self.fields = method, path, fields
        self.headers = [("Cookie", guest.cookies(CSRF_COOKIE, *names)), ("Origin", HUB)]
        self.token = guest.token

    def ask(self, line: Line, value: str) -> Answer:
        if self.method == "GET":
            return line.ask(
                "GET", f"{self.path}?rd={quote(value, safe='', errors='surrogatepass')}", self.headers
            )
        fields = {"csrfmiddlewaretoken": self.token, **self.fields, "rd": value}
        body = urlencode(fields, errors="surrogatepass")
        kind = ("Content-Type", "application/x-www-form-urlencoded")
        return line.ask("POST", self.path, [*self.headers, kind], body)


@pytest.fixture(scope="module")
def surfaces(house: Furnished) -> dict[str, Surface]:
    nobody, ada = arrives(house), arrives(house, "ada")
    return {
        "the sign-in page": Surface("GET", "/login/", nobody),
        "the sign-in page of somebody signed in": Surface("GET", "/login/", ada, HUB_COOKIE, SHARED_COOKIE),
        # Without a password the form comes again, with the address in it, and no password is verified.
        "the sign-in form": Surface("POST", "/login/", nobody, username="ada", password=""),
        "the sign-out page": Surface("GET", "/logout/", ada, HUB_COOKIE, SHARED_COOKIE),
        "the sign-out page of nobody": Surface("GET", "/logout/", nobody),
        "the sign-out form": Surface("POST", "/logout/", nobody),
    }


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    "name",
    [
        "the sign-in page",
        "the sign-in page of somebody signed in",
        "the sign-in form",
        "the sign-out page",
        "the sign-out page of nobody",
        "the sign-out form",
    ],
)
def test_no_return_address_of_the_corpus_leads_astray(
    house: Furnished, surfaces: dict[str, Surface], name: str
) -> None:
    surface = surfaces[name]
    rows = corpus("return_urls")
    answers = over_lines(house.server, rows, lambda line, row: surface.ask(line, row["value"]))
    for row, answer in zip(rows, answers, strict=True):
        told = (row["id"], row["value"], answer.status)
        assert answer.status in (200, 303, 400), told
        assert wrong_ways(answer) == [], told
        if row["hard"] and not row["should_allow"] and row["value"]:
            assert answer.status == 400, told
            assert answer.get("Location") is None, told
        if row["hard"] and row["should_allow"]:
            ways = [*addresses_on(Page(answer.text)), *answer.all("Location")]
            assert any(
                f"{row['value']}/" in (way, *parse_qs(urlsplit(way).query).get("rd", [])) for way in ways
            ), told


@pytest.mark.parametrize(
    "value",
    [
        f"{SECURE}",
        f"{SHOP}/a%20b?x=1&y=%C3%A9#z",
        f"{WIKI}/",
        "/logout/?x=1",
        "https://evil.test/",
        "//evil.test",
    ],
)
def test_signing_in_for_real_leads_to_the_registered_address_or_is_refused_before_the_password(
    house: Furnished, value: str
) -> None:
    guest = arrives(house)
    surface = Surface("POST", "/login/", guest, username="ada", password=PASSWORD)
    [answer] = over_lines(house.server, [value], surface.ask)
    if "evil" in value:
        assert (answer.status, answer.get("Location")) == (400, None)
        assert not {HUB_COOKIE, SHARED_COOKIE} & set(answer.cookies)
    else:
        wanted = {SECURE: f"{SECURE}/"}.get(value, f"{HUB}{value}" if value.startswith("/") else value)
        assert (answer.status, answer.get("Location")) == (303, wanted)


# -- origins


def test_no_origin_of_the_corpus_may_read_ask_or_change_anything(house: Furnished) -> None:
    ada = arrives(house, "ada")
    ada.fetch_token()
    cookie = ("Cookie", ada.cookies(HUB_COOKIE, SHARED_COOKIE, CSRF_COOKIE))
    token = ("X-CSRF-Token", ada.token)
    json = ("Content-Type", "application/json")
    preflight = [
        ("Access-Control-Request-Method", "DELETE"),
        ("Access-Control-Request-Headers", "x-csrf-token"),
    ]
    body = f'{{"username": "ada", "password": "{PASSWORD}"}}'
    rows = [row for row in corpus("origins") if not re.search(r"[\r\n\0]", row["origin"])]

    def ask(line: Line, row: dict[str, Any]) -> dict[str, Answer]:
        origin = ("Origin", row["origin"].encode("latin-1"))
        return {
            "GET": line.ask("GET", "/api/session", [cookie, origin]),
            "OPTIONS": line.ask("OPTIONS", "/api/session", [origin, *preflight]),
            "POST": line.ask("POST", "/api/session", [cookie, origin, token, json], body),
            "DELETE": line.ask("DELETE", "/api/session", [cookie, origin, token]),
            "POST /logout/": line.ask("POST", "/logout/", [cookie, origin], ""),
        }

    for row, answers in zip(rows, over_lines(house.server, rows, ask), strict=True):
        assert not row["should_allow"], "the corpus has a new kind of row"
        for name, answer in answers.items():
            told = (row["id"], row["origin"], name, answer.status)
            assert answer.status < 500, told
            assert answer.all("Access-Control-Allow-Origin") == [], told
            assert name.startswith("POST /logout") or "Origin" in (answer.get("Vary") or ""), told
            if name not in ("GET", "OPTIONS"):
                assert answer.status in (400, 403), told
                assert not {HUB_COOKIE, SHARED_COOKIE} & set(answer.cookies), told
    assert ada.who() == "ada"


@pytest.mark.parametrize("origin", [SHOP, WIKI])
def test_the_registered_origins_of_the_corpus_policy_may(house: Furnished, origin: str) -> None:
    ada = arrives(house, "ada")
    cookie = ("Cookie", ada.cookies(SHARED_COOKIE))
    preflight = ("Access-Control-Request-Method", "DELETE")

    def ask(line: Line, method: str) -> Answer:
        return line.ask(method, "/api/session", [cookie, ("Origin", origin), preflight])

    for answer in over_lines(house.server, ["GET", "OPTIONS"], ask):
        assert answer.get("Access-Control-Allow-Origin") == origin
        assert answer.get("Access-Control-Allow-Credentials") == "true"
        assert "Origin" in (answer.get("Vary") or "")
