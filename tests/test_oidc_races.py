"""Codes and refresh tokens that many redeem at the same moment, over several worker processes."""

import base64
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlencode

import pytest

from tests.support.oidc import challenge_of, query_of

PASSWORD = "seven brave kettles sing"
CALLBACK = "https://shop.example.net/cb"
VERIFIER = "v" * 64
ROUNDS, PARALLEL = 10, 12


@pytest.fixture
def house(start_auth_server):
    server = start_auth_server(env={"SSO_WORKERS": "4"})
    server.manage("create_user", "ada", "--email", "ada@example.test", "--password-stdin", input=PASSWORD)
    app = json.loads(server.manage("register_app", "shop", "--json", "--redirect-uri", CALLBACK))
    with server.visitor(headers={"Origin": server.origin}) as ada:
        ada.headers["X-CSRF-Token"] = ada.get("/api/csrf").json()["csrf_token"]
        assert ada.post("/api/session", json={"username": "ada", "password": PASSWORD}).status_code == 200
        yield House(server, app, ada)


class House:
    def __init__(self, server, app, ada):
        self.server, self.app, self.ada = server, app, ada

    def code(self):
        question = {
            "response_type": "code",
            "client_id": self.app["client_id"],
            "redirect_uri": CALLBACK,
            "scope": "openid",
            "code_challenge": challenge_of(VERIFIER),
            "code_challenge_method": "S256",
        }
        answer = self.ada.get(f"/oauth/authorize?{urlencode(question)}")
        return query_of(answer.headers["Location"])["code"]

    def fetch(self, **fields):
        pair = f"{self.app['client_id']}:{self.app['client_secret']}"
        headers = {
            "Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}",
            "Content-Type": "application/x-www-form-urlencoded",
        }
        return self.server.post("/oauth/token", headers=headers, body=urlencode(fields))

    def redeem(self, code):
        return self.fetch(
            grant_type="authorization_code", code=code, redirect_uri=CALLBACK, code_verifier=VERIFIER
        )

    def refresh(self, token):
        return self.fetch(grant_type="refresh_token", refresh_token=token)


def at_once(ask, what):
    start = threading.Barrier(PARALLEL)

    def one(_):
        start.wait()
        return ask(what)

    with ThreadPoolExecutor(PARALLEL) as pool:
        return list(pool.map(one, range(PARALLEL)))


def test_a_code_is_redeemed_once_at_most_and_its_copies_end_what_it_gave(house):
    for _ in range(ROUNDS):
        answers = at_once(house.redeem, house.code())
        won = [answer.json() for answer in answers if answer.status == 200]
        assert len(won) <= 1
        assert {answer.status for answer in answers} <= {200, 400}
        for given in won:
            assert house.refresh(given["refresh_token"]).json()["error"] == "invalid_grant"


def test_a_refresh_token_is_used_once_at_most_and_its_copies_end_the_family(house):
    for _ in range(ROUNDS):
        given = house.redeem(house.code()).json()
        answers = at_once(house.refresh, given["refresh_token"])
        won = [answer.json() for answer in answers if answer.status == 200]
        assert len(won) <= 1
        assert {answer.status for answer in answers} <= {200, 400}
        for new in won:
            assert house.refresh(new["refresh_token"]).json()["error"] == "invalid_grant"


def test_workers_sign_with_one_key(house):
    tokens = [house.redeem(house.code()).json()["id_token"] for _ in range(8)]
    kids = {json.loads(base64.urlsafe_b64decode(token.split(".")[0] + "=="))["kid"] for token in tokens}
    assert kids == {key["kid"] for key in house.server.get("/.well-known/jwks.json").json()["keys"]}
