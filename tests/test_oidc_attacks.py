"""The provider as a whole process, asked with raw requests: what attackers send, see and leave behind."""

import base64
import json
import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from urllib.parse import urlencode

import pytest
from joserfc import jwt
from joserfc.jwk import KeySet

from tests.support.faults import until
from tests.support.oidc import challenge_of, query_of

PASSWORD = "seven brave kettles sing"
CALLBACK = "https://shop.example.net/cb"
ORIGIN = "https://shop.example.net"
VERIFIER = "v" * 64
FORM = "application/x-www-form-urlencoded"


class House:
    """One server, one app, ada signed in, and every byte of a request in our hands."""

    def __init__(self, server, ada):
        self.server, self.ada = server, ada
        words = ("shop", "--json", "--redirect-uri", CALLBACK, "--origin", ORIGIN)
        self.app = json.loads(server.manage("register_app", *words))
        self.public = json.loads(
            server.manage(
                "register_app", "public", "--json", "--redirect-uri", CALLBACK, "--token-auth-method", "none"
            )
        )
        self.sign_in()

    def sign_in(self):
        self.ada.headers["X-CSRF-Token"] = self.ada.get("/api/csrf").json()["csrf_token"]
        answer = self.ada.post("/api/session", json={"username": "ada", "password": PASSWORD})
        assert answer.status_code == 200
        self.ada.headers["X-CSRF-Token"] = self.ada.get("/api/csrf").json()["csrf_token"]

    @property
    def cookies(self):
        return ("Cookie", "; ".join(f"{cookie.name}={cookie.value}" for cookie in self.ada.cookies.jar))

    def question(self, **bent):
        right = {
            "response_type": "code",
            "client_id": self.app["client_id"],
            "redirect_uri": CALLBACK,
            "scope": "openid profile",
            "state": "s",
            "code_challenge": challenge_of(VERIFIER),
            "code_challenge_method": "S256",
        }
        return {**right, **bent}

    def ask(self, query=None, *, cookies=True, method="GET", host=None, headers=(), body=None, **bent):
        query = urlencode(self.question(**bent)) if query is None else query
        pairs = [*headers, *([self.cookies] if cookies else [])]
        return self.server.request(method, f"/oauth/authorize?{query}", headers=pairs, host=host, body=body)

    def code(self):
        return query_of(self.ask().get("Location"))["code"]

    def basic(self, secret=None):
        pair = f"{self.app['client_id']}:{self.app['client_secret'] if secret is None else secret}"
        return ("Authorization", f"Basic {base64.b64encode(pair.encode()).decode()}")

    def post(self, fields, *headers, path="/oauth/token"):
        return self.server.post(path, headers=[("Content-Type", FORM), *headers], body=urlencode(fields))

    def redeem(self, code, *headers, **bent):
        right = {"grant_type": "authorization_code", "code": code, "redirect_uri": CALLBACK}
        return self.post({**right, "code_verifier": VERIFIER, **bent}, *(headers or [self.basic()]))

    def refresh(self, token):
        return self.post({"grant_type": "refresh_token", "refresh_token": token}, self.basic())

    def userinfo(self, token, *headers):
        return self.server.get("/oauth/userinfo", headers=[("Authorization", f"Bearer {token}"), *headers])


@pytest.fixture
def house(start_auth_server):
    server = start_auth_server(env={"SSO_WORKERS": "2"})
    server.manage("create_user", "ada", "--email", "ada@example.test", "--password-stdin", input=PASSWORD)
    with server.visitor(headers={"Origin": server.origin}) as ada:
        yield House(server, ada)


def rows(server):
    [path] = server.folder.glob("*.sqlite3")
    with sqlite3.connect(path) as database:
        tables = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return {name: database.execute(f'SELECT count(*) FROM "{name}"').fetchone() for name in tables}


def keys_of(house):
    with house.server.redis.client() as redis:
        return set(redis.keys())


# -- asking


def test_no_bent_question_leads_out_and_no_answer_can_be_framed_kept_or_passed_on(house):
    right = urlencode(house.question())
    evil = urlencode({"redirect_uri": "https://evil.test/"})
    refused = {
        "a second address": f"{right}&{evil}",
        "an address as an array": right.replace("redirect_uri=", "redirect_uri%5B%5D="),
        "semicolons": right.replace("&", ";"),
        "none, with one registered": right.replace("redirect_uri=", "none="),
        "a NUL": right.replace("&redirect_uri", "%00&redirect_uri"),
        "a script": urlencode(house.question(client_id="<script>alert(1)</script>")),
    }
    for name, query in refused.items():
        answer = house.ask(query)
        assert (answer.status, answer.get("Location")) == (400, None), name
        assert b"<script>alert" not in answer.body
        assert answer.get("X-Frame-Options") == "DENY"
        assert "frame-ancestors 'none'" in answer.get("Content-Security-Policy")
    told = house.ask(state="a\r\nSet-Cookie: x=y\0")
    assert query_of(told.get("Location"))["state"] == "a\r\nSet-Cookie: x=y\0"
    assert (told.get("Cache-Control"), told.get("Referrer-Policy")) == ("no-store", "same-origin")
    assert told.all("Set-Cookie") == []


def test_what_is_posted_is_not_mixed_with_the_address(house):
    right = house.question()
    mixed = house.ask(method="POST", headers=[("Content-Type", FORM)], body="redirect_uri=https://evil.test/")
    assert house.server.get(mixed.get("Location"), headers=[house.cookies]).status == 400
    long = house.server.post("/oauth/authorize", headers=[("Content-Type", FORM)], body=urlencode(right) * 40)
    assert long.status == 400


def test_the_hub_of_a_further_site_sends_people_to_the_primary_one_and_is_no_provider(house):
    further = house.server.host.replace("example", "other")
    assert house.ask(host=further).get("Location").startswith(f"{house.server.origin}/oauth/authorize?")
    for path in ("/.well-known/openid-configuration", "/.well-known/jwks.json", "/oauth/userinfo"):
        assert house.server.get(path, host=further).status == 403


# -- proving to be the app


def test_credentials_that_are_missing_empty_doubled_or_of_two_apps_open_nothing(house):
    shop, public = house.app["client_id"], house.public["client_id"]
    typed = ("Accept", "application/json")  # any header, so that none of ours is added
    tries = {
        "none": ([typed], {"client_id": shop}),
        "empty, Basic": ([house.basic("")], {}),
        "empty, Basic and name": ([house.basic("")], {"client_id": shop}),
        "empty, form": ([typed], {"client_id": shop, "client_secret": ""}),
        "right, in the wrong place": (
            [typed],
            {"client_id": shop, "client_secret": house.app["client_secret"]},
        ),
        "in both places": ([house.basic()], {"client_id": shop, "client_secret": house.app["client_secret"]}),
        "another app's name": ([house.basic()], {"client_id": public}),
        "wrong, and a public app": ([house.basic("wrong")], {"client_id": public}),
        "twice": ([house.basic(), ("Authorization", "Basic eDp5")], {}),
        "a public app": ([typed], {"client_id": public}),
        "a public app with a secret": ([typed], {"client_id": public, "client_secret": "x"}),
    }
    for name, (headers, fields) in tries.items():
        answer = house.redeem(house.code(), *headers, **fields)
        assert answer.status in (400, 401), name
        assert answer.get("Cache-Control") == "no-store"
        assert "[" not in answer.json()["error_description"]


# -- what is left behind


def test_strangers_leave_nothing_in_either_store_and_no_secret_reaches_a_log(house):
    given = house.redeem(house.code()).json()
    keys, lines = keys_of(house), rows(house.server)
    public = {"client_id": house.public["client_id"]}
    for number in range(12):
        page = house.ask(cookies=False, state=str(number))
        assert house.server.get(page.get("Location")).status == 200
        house.post({**public, "grant_type": "authorization_code", "code": f"x{number}"})
        house.post({**public, "grant_type": "refresh_token", "refresh_token": f"x{number}"})
        house.post({**public, "token": f"x{number}"}, path="/oauth/revoke")
        house.post({"client_id": f"c{number}", "grant_type": "refresh_token"})
        house.userinfo(f"x{number}")
        house.server.get(f"/oauth/logout?client_id=c{number}")
    assert keys_of(house) <= keys
    assert rows(house.server) == lines
    secrets = [given["access_token"], given["refresh_token"], given["id_token"], house.app["client_secret"]]
    assert not [secret for secret in secrets if secret in house.server.output]


# -- at the same moment


@contextmanager
def meanwhile(parallel, ask):
    """``ask`` over and over on several threads while the block runs; everything it returned."""
    found, done = [], threading.Event()

    def work():
        while not done.is_set():
            found.append(ask())

    with ThreadPoolExecutor(parallel) as pool:
        working = [pool.submit(work) for _ in range(parallel)]
        try:
            yield found
        finally:
            done.set()
    for one in working:
        one.result()


def test_no_token_outlives_a_sign_out_that_races_its_making(house):
    for _ in range(3):
        cookies = house.cookies

        def enter(cookies=cookies):
            query = urlencode(house.question())
            answer = house.server.get(f"/oauth/authorize?{query}", headers=[cookies])
            code = query_of(answer.get("Location", "")).get("code")
            return house.redeem(code) if code else None

        with meanwhile(4, enter) as found:
            until(lambda found=found: len(found) >= 8)
            assert house.ada.delete("/api/session").status_code in (200, 204)
        given = [answer.json() for answer in found if answer and answer.status == 200]
        assert given
        assert {house.userinfo(one["access_token"]).status for one in given} == {401}
        assert {house.refresh(one["refresh_token"]).status for one in given} == {400}
        house.sign_in()


def test_every_token_that_is_signed_while_keys_change_can_be_verified(house):
    with meanwhile(3, lambda: house.redeem(house.code())) as found:
        for _ in range(2):
            house.server.manage("rotate_signing_key")
    assert {answer.status for answer in found} == {200}
    published = house.server.get("/.well-known/jwks.json").json()
    assert all(set(key) == {"kty", "n", "e", "use", "alg", "kid"} for key in published["keys"])
    for answer in found:
        jwt.decode(answer.json()["id_token"], KeySet.import_key_set(published), algorithms=["RS256"])


# -- outages


def test_an_outage_is_said_in_json_by_its_name_and_ends_nobodys_tokens(house):
    given, code = house.redeem(house.code()).json(), house.code()
    for fail, mend in (("freeze", "thaw"), ("stop", "restart")):
        getattr(house.server.redis, fail)()
        answers = [
            house.redeem(code),
            house.refresh(given["refresh_token"]),
            house.userinfo(given["access_token"]),
            house.post({"token": given["refresh_token"]}, house.basic(), path="/oauth/revoke"),
            house.userinfo(given["access_token"], ("Origin", ORIGIN)),
        ]
        for answer in answers:
            assert (answer.status, answer.json()["error"]) == (503, "temporarily_unavailable")
            assert answer.get("Retry-After")
        assert house.ask().status == 503
        getattr(house.server.redis, mend)()
        given = house.refresh(given["refresh_token"]).json()
    assert house.redeem(code).status == 200
