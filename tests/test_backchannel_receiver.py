"""The receivers of ``sso_client``: what a logout URL believes, and what it says to everything else."""

import asyncio
import base64
import hmac
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from urllib.parse import urlencode

import pytest
from django.http import HttpRequest
from django.test import RequestFactory
from joserfc import jwt
from joserfc.jwk import ECKey, RSAKey
from sso_client import backchannel
from sso_client.backchannel import EVENT, KeysUnavailable, LogoutRefused, Receiver
from sso_client.django import backchannel_logout

HUB, APP = "https://auth.example.com", "shop-1f2e3d4c"
FORM = "application/x-www-form-urlencoded"


@pytest.fixture(scope="module")
def pair():
    return RSAKey.generate_key(2048, {"use": "sig", "alg": "RS256"}, auto_kid=True)


class Jwks:
    """A hub's JWKS on this machine; ``fetched`` counts."""

    def __init__(self, *keys):
        self.keys, self.fetched, self.status = list(keys), 0, 200
        jwks = self

        class Talk(BaseHTTPRequestHandler):
            def do_GET(self):
                jwks.fetched += 1
                document = {"keys": [key.as_dict(private=False) for key in jwks.keys]}
                body = json.dumps(document).encode()
                self.send_response(jwks.status)
                self.send_header("Location", "/")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                """Silent."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Talk)
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def address(self):
        return f"http://localhost:{self.server.server_address[1]}/jwks.json"

    def close(self):
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def jwks(pair):
    served = Jwks(pair)
    yield served
    served.close()


@pytest.fixture
def heard():
    return []


@pytest.fixture
def receiver(jwks, heard):
    return Receiver(
        HUB, client_id=APP, on_logout=lambda sid, sub: heard.append((sid, sub)), jwks=jwks.address
    )


def claims(**bent):
    now = int(time.time())
    right = {
        "iss": HUB, "aud": APP, "sub": "ada-id", "sid": "s1", "iat": now, "exp": now + 120,
        "jti": "j1", "events": {EVENT: {}},
    }  # fmt: skip
    return {name: value for name, value in {**right, **bent}.items() if value is not None}


def signed(key, header=None, alg="RS256", **bent):
    head = {"alg": alg, "typ": "logout+jwt", "kid": key.kid, **(header or {})}
    return jwt.encode({k: v for k, v in head.items() if v is not None}, claims(**bent), key, [alg])


def form(token):
    return urlencode({"logout_token": token}).encode()


def test_a_message_of_the_hub_ends_the_sessions_it_names(receiver, pair, heard):
    assert receiver.respond("POST", FORM, form(signed(pair))) == (200, b"")
    assert heard == [("s1", "ada-id")]


@pytest.mark.parametrize(
    "bent", [{"sid": None}, {"sub": None}, {"aud": [APP, "other"]}, {"extra": {"a": 1}}], ids=str
)
def test_what_the_standard_allows_is_understood(receiver, pair, heard, bent):
    assert receiver.respond("POST", FORM + "; charset=utf-8", form(signed(pair, **bent)))[0] == 200
    assert len(heard) == 1


def test_es256_is_understood(receiver, jwks, heard):
    key = ECKey.generate_key("P-256", {"use": "sig", "alg": "ES256"}, auto_kid=True)
    jwks.keys.append(key)
    assert receiver.respond("POST", FORM, form(signed(key, alg="ES256")))[0] == 200


BENT = {
    "another issuer": {"iss": "https://evil.example"},
    "no issuer": {"iss": None},
    "another app's": {"aud": "other"},
    "an audience that only begins alike": {"aud": APP + "x"},
    "no audience": {"aud": None},
    "an empty audience": {"aud": []},
    "too old": {"iat": 1, "exp": 100},
    "past its end": {"exp": int(time.time()) - 3600},
    "good for ever": {"exp": 99999999999},
    "an old one that is good for long": {"iat": int(time.time()) - 86400},
    "from the future": {"iat": int(time.time()) + 86400, "exp": int(time.time()) + 86500},
    "no iat": {"iat": None},
    "no exp": {"exp": None},
    "exp as a text": {"exp": "99999999999"},
    "exp as true": {"exp": True},
    "no events": {"events": None},
    "another event": {"events": {"http://schemas.openid.net/event/other": {}}},
    "the event as a text": {"events": EVENT},
    "the event without an object": {"events": {EVENT: "yes"}},
    "a nonce": {"nonce": "n"},
    "nobody": {"sid": None, "sub": None},
    "no jti": {"jti": None},
    "a jti that is a list": {"jti": ["j"]},
    "a sid that is a number": {"sid": 7},
    "a sub that is endless": {"sub": "x" * 300},
}


@pytest.mark.parametrize("bent", BENT.values(), ids=BENT)
def test_a_message_with_a_claim_bent_is_refused(receiver, pair, heard, bent):
    status, body = receiver.respond("POST", FORM, form(signed(pair, **bent)))
    assert status == 400
    assert json.loads(body)["error"] == "invalid_request"
    assert heard == []


def forged(pair):
    """Every way to make up a signature that we know of."""
    stranger = RSAKey.generate_key(2048, {"kid": pair.kid})
    unbound = RSAKey.import_key({k: v for k, v in pair.as_dict(private=True).items() if k != "alg"})
    good = signed(pair)
    head, payload, signature = good.split(".")
    public = pair.as_pem(private=False)

    def header(**fields):
        return encoded(json.dumps({"alg": "RS256", "typ": "logout+jwt", "kid": pair.kid, **fields}))

    # By hand: the library signs with no public key.
    unsigned = f"{header(alg='HS256')}.{payload}"
    confused = f"{unsigned}.{encoded(hmac.digest(public, unsigned.encode(), 'sha256'))}"
    return {
        "alg none": f"{header(alg='none')}.{payload}.",
        "alg None": f"{header(alg='None')}.{payload}.",
        "alg none with the signature of another": f"{header(alg='none')}.{payload}.{signature}",
        "HS256 with the public key": confused,
        "another's key of the same kid": signed(stranger),
        "another algorithm of the same key": signed(unbound, alg="PS256"),
        "RS512": signed(unbound, alg="RS512"),
        "a bent payload": f"{head}.{encoded(json.dumps(claims(sub='eve')))}.{signature}",
        "no signature": f"{head}.{payload}.",
        "a signature cut short": good[:-8],
        "an ID token": signed(pair, {"typ": "JWT"}),
        "no type": signed(pair, {"typ": None}),
        "no kid": signed(pair, {"kid": None}),
        "a kid that nobody has": signed(pair, {"kid": "nobody"}),
        "a key of its own in the header": signed(stranger, {"jwk": stranger.as_dict(private=False)}),
        "critical": f"{header(crit=['x'], x=1)}.{payload}.{signature}",
        "header that is a list": f"{encoded('[]')}.{payload}.{signature}",
        "rubbish": "a.b.c",
        "two parts": "a.b",
        "encrypted": "a.b.c.d.e",
        "nothing": "",
        "endless": "a" * 9000,
        "not ASCII": "ä.ö.ü",
    }


def encoded(text):
    raw = text if isinstance(text, bytes) else text.encode()
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def test_every_forged_message_is_refused(receiver, pair, heard):
    for name, token in forged(pair).items():
        assert receiver.respond("POST", FORM, form(token))[0] == 400, name
    assert heard == []
    assert receiver.respond("POST", FORM, form(signed(pair)))[0] == 200


def test_a_message_that_comes_again_is_refused(receiver, pair, heard):
    token = signed(pair)
    assert receiver.respond("POST", FORM, form(token))[0] == 200
    assert receiver.respond("POST", FORM, form(token))[0] == 400
    assert receiver.respond("POST", FORM, form(signed(pair, sid="other")))[0] == 400, "the same jti"
    assert receiver.respond("POST", FORM, form(signed(pair, jti="j2")))[0] == 200
    assert len(heard) == 2


def test_of_many_at_once_one_counts(receiver, pair, heard):
    token, statuses = signed(pair), []
    threads = [
        threading.Thread(target=lambda: statuses.append(receiver.respond("POST", FORM, form(token))[0]))
        for _ in range(20)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(statuses) == [200] + [400] * 19
    assert len(heard) == 1


def test_an_app_that_fails_is_told_again(jwks, pair):
    seen = []

    def fails_once(sid, _sub):
        seen.append(sid)
        if len(seen) == 1:
            raise RuntimeError("the app's own database")

    receiver = Receiver(HUB, client_id=APP, on_logout=fails_once, jwks=jwks.address)
    token = signed(pair)
    status, body = receiver.respond("POST", FORM, form(token))
    assert status == 500
    assert b"database" not in body
    assert receiver.respond("POST", FORM, form(token))[0] == 200
    assert receiver.respond("POST", FORM, form(token))[0] == 400


def test_memory_is_bounded(receiver, monkeypatch):
    monkeypatch.setattr(backchannel, "MOST_REMEMBERED", 100)
    soon = int(time.time()) + 100
    assert all(receiver.memory.first(f"j{n}", soon) for n in range(1000))
    assert len(receiver.memory._seen) == 100
    assert not receiver.memory.first("j999", soon)


@pytest.mark.parametrize(
    ("method", "kind", "body", "status"),
    [
        ("GET", FORM, b"", 405),
        ("PUT", FORM, b"", 405),
        ("POST", "application/json", b"{}", 400),
        ("POST", "", b"", 400),
        ("POST", FORM, b"", 400),
        ("POST", FORM, b"logout_token=a&logout_token=b", 400),
        ("POST", FORM, b"\xff\xfe", 400),
        ("POST", FORM, b"&".join(b"a=1" for _ in range(100)), 400),
    ],
)
def test_odd_requests_get_a_clear_answer(receiver, method, kind, body, status):
    got, answer = receiver.respond(method, kind, body)
    assert got == status
    assert json.loads(answer)["error_description"]


# -- keys


def test_keys_are_fetched_once_and_again_when_the_hub_has_a_new_one(receiver, jwks, pair, monkeypatch):
    for n in range(5):
        receiver.take(signed(pair, jti=f"a{n}"))
    assert jwks.fetched == 1
    new = RSAKey.generate_key(2048, {"use": "sig"}, auto_kid=True)
    jwks.keys.insert(0, new)
    with pytest.raises(LogoutRefused):
        receiver.take(signed(new, jti="b0"))
    assert jwks.fetched == 1, "strangers make nobody fetch again and again"
    monkeypatch.setattr(backchannel, "FETCH_AGAIN", 0)
    receiver.take(signed(new, jti="b1"))
    assert jwks.fetched == 2


def test_keys_that_cannot_be_fetched_are_no_refusal(receiver, jwks, pair, heard, monkeypatch):
    monkeypatch.setattr(backchannel, "PAUSE", 0)
    for status in (500, 302, 404):
        jwks.status = status
        with pytest.raises(KeysUnavailable):
            receiver.verified(signed(pair))
        assert receiver.respond("POST", FORM, form(signed(pair)))[0] == 503
    jwks.status = 200
    assert receiver.respond("POST", FORM, form(signed(pair)))[0] == 200
    assert heard == [("s1", "ada-id")]


@pytest.mark.parametrize("hub", ["http://auth.example.com", "auth.example.com", "https://a/b", "ftp://x"])
def test_a_hub_that_anybody_could_be_is_refused(hub):
    with pytest.raises(ValueError, match="origin"):
        Receiver(hub, client_id=APP, on_logout=print)


def test_a_jwks_over_plain_http_is_refused():
    with pytest.raises(ValueError, match="origin"):
        Receiver(HUB, client_id=APP, on_logout=print, jwks="http://auth.example.com/jwks.json")


# -- servers


def test_wsgi(receiver, pair, heard):
    def call(body, length=None, method="POST"):
        started = []
        environ = {"REQUEST_METHOD": method, "CONTENT_TYPE": FORM, "wsgi.input": BytesIO(body)}
        environ["CONTENT_LENGTH"] = str(len(body)) if length is None else length
        answer = b"".join(receiver.wsgi(environ, lambda *parts: started.append(parts)))
        return started[0][0], dict(started[0][1]), answer

    status, headers, body = call(form(signed(pair)))
    assert (status, headers["Cache-Control"], body) == ("200 OK", "no-store", b"")
    assert call(b"x" * 100_000)[0] == "400 Bad Request"
    assert call(form(signed(pair, jti="x")), length="rubbish")[0] == "400 Bad Request"
    assert call(b"", method="GET")[1]["Allow"] == "POST"
    assert len(heard) == 1


def test_asgi_with_a_coroutine(jwks, pair):
    heard = []

    async def on_logout(sid, sub):
        await asyncio.sleep(0)
        heard.append((sid, sub))

    receiver = Receiver(HUB, client_id=APP, on_logout=on_logout, jwks=jwks.address)

    async def call(*parts):
        sent, left = [], list(parts)

        async def receive():
            return {"type": "http.request", "body": left.pop(0), "more_body": bool(left)}

        async def send(message):
            sent.append(message)

        scope = {"type": "http", "method": "POST", "headers": [(b"content-type", FORM.encode())]}
        await receiver.asgi(scope, receive, send)
        return sent[0]["status"], dict(sent[0]["headers"])

    body = form(signed(pair))
    status, headers = asyncio.run(call(body[:10], body[10:]))
    assert (status, headers[b"Cache-Control"]) == (200, b"no-store")
    assert heard == [("s1", "ada-id")]
    assert asyncio.run(call(body))[0] == 400
    assert asyncio.run(call(*[b"x" * 10_000] * 50))[0] == 400


def test_django(receiver, pair, heard):
    view = backchannel_logout(receiver)
    factory = RequestFactory()

    def ask(token) -> HttpRequest:
        return factory.post("/signed-out", urlencode({"logout_token": token}), content_type=FORM)

    token = signed(pair)
    answer = view(ask(token))
    assert (answer.status_code, answer["Cache-Control"]) == (200, "no-store")
    assert view(ask(token)).status_code == 400
    assert view(factory.get("/signed-out")).status_code == 405
    assert view.csrf_exempt
    assert len(heard) == 1


def test_the_set_of_keys_may_hold_others(receiver, jwks, pair):
    jwks.keys.insert(0, ECKey.generate_key("P-256", auto_kid=True))
    receiver.take(signed(pair))
