"""An app of Authlib and Flask, as their documentation has it: ``python flask_app.py <port> <settings.json>``.

``/`` shows who is signed in, ``/refresh`` fetches new tokens, ``/userinfo`` asks the provider, ``/tokens`` gives the
tests what an app would keep to itself, ``/logout`` signs out at the provider. ``/state`` says whether the browser has
a session here; ``/signed-out`` is told by the provider that it has none any more.
"""

import json
import socket
import sys
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from authlib.integrations.base_client.errors import OAuthError
from authlib.integrations.flask_client import OAuth
from authlib.jose import JsonWebKey, JsonWebToken
from authlib.jose.errors import JoseError
from flask import Flask, jsonify, redirect, request, session, url_for
from werkzeug.wrappers import Response

EVENT = "http://schemas.openid.net/event/backchannel-logout"
_resolve = socket.getaddrinfo


def _with_localhost(host: Any, *args: Any, **kwargs: Any) -> Any:
    """Python does not know that every name under .localhost is this machine (RFC 6761 §6.3); browsers do."""
    return _resolve("127.0.0.1" if str(host).endswith(".localhost") else host, *args, **kwargs)


socket.getaddrinfo = _with_localhost

settings = json.loads(Path(sys.argv[2]).read_text())
app = Flask(__name__)
app.secret_key = "of this run only"
oauth = OAuth(app)
hub = oauth.register(
    "hub",
    client_id=settings["client_id"],
    client_secret=settings["client_secret"],
    server_metadata_url=f"{settings['issuer']}/.well-known/openid-configuration",
    client_kwargs={"scope": "openid profile email groups", "code_challenge_method": "S256"},
)
#: What a real app keeps on its server, by the number in its cookie.
people: dict[int, dict[str, Any]] = {}
numbers = count()


def person() -> dict[str, Any] | None:
    return people.get(session.get("number", -1))


@app.get("/")
def home() -> Response:
    if (who := person()) is None:
        return hub.authorize_redirect(url_for("callback", _external=True))
    return jsonify(who["claims"])


@app.get("/callback")
def callback() -> Response:
    token = hub.authorize_access_token()
    number = session["number"] = next(numbers)
    people[number] = {"claims": dict(token["userinfo"]), "token": dict(token)}
    return redirect("/")


@app.get("/refresh")
def refresh() -> Response:
    if (who := person()) is None:
        return jsonify(error="not_signed_in")
    try:
        who["token"] |= hub.fetch_access_token(
            grant_type="refresh_token", refresh_token=who["token"]["refresh_token"]
        )
    except OAuthError as error:
        return jsonify(error=error.error)
    return jsonify(refreshed=True)


@app.get("/userinfo")
def userinfo() -> Response:
    answer = hub.get(hub.load_server_metadata()["userinfo_endpoint"], token=(person() or {})["token"])
    return jsonify(status=answer.status_code, claims=answer.json())


@app.get("/tokens")
def tokens() -> Response:
    return jsonify((person() or {})["token"])


@app.get("/logout")
def logout() -> Response:
    who = people.pop(session.pop("number"))
    query = {"id_token_hint": who["token"]["id_token"], "post_logout_redirect_uri": request.host_url + "bye"}
    return redirect(
        f"{hub.load_server_metadata()['end_session_endpoint']}?{urlencode({**query, 'state': 'x'})}"
    )


@app.get("/state")
def state() -> Response:
    return jsonify(signed_in=person() is not None)


@app.post("/signed-out")
def signed_out() -> tuple[str, int]:
    """OpenID Connect Back-Channel Logout 1.0 §2.6, with Authlib's own reader of tokens."""
    keys = JsonWebKey.import_key_set(hub.fetch_jwk_set(force=True))
    options = {name: {"essential": True} for name in ("iat", "exp", "jti", "sid", "events")}
    options["iss"] = {"essential": True, "value": settings["issuer"]}
    options["aud"] = {"essential": True, "value": settings["client_id"]}
    try:
        claims = JsonWebToken(["RS256"]).decode(request.form["logout_token"], keys, claims_options=options)
        claims.validate(leeway=60)
    except JoseError as error:
        return str(error), 400
    if claims.header.get("typ") != "logout+jwt" or "nonce" in claims or EVENT not in claims["events"]:
        return "no logout token", 400
    for number in [n for n, who in people.items() if who["claims"]["sid"] == claims["sid"]]:
        del people[number]
    return "", 200


@app.get("/bye")
def bye() -> Response:
    return jsonify(bye=request.args.get("state"))


if __name__ == "__main__":
    app.run("127.0.0.1", int(sys.argv[1]), threaded=True)
