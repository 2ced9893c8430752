"""Flask, by the README's recipe."""

import os

from flask import Flask, request
from sso_client import Refused, SessionReader
from sso_client.wsgi import SSOMiddleware, signed_in

app = Flask(__name__)
app.wsgi_app = SSOMiddleware(  # type: ignore[method-assign]
    app.wsgi_app,
    SessionReader(os.environ["SSO_REDIS_URL"]),
    hub="https://auth.example.com",
    app_origin=os.environ.get("APP_ORIGIN"),
    ignore=("/public",),
)
app.register_error_handler(Refused, lambda refused: refused.answer)


@app.get("/public")
def public() -> str:
    return "for everybody"


@app.get("/maybe")
def maybe() -> str:
    session = request.environ["sso.session"]
    return session.user.name if session else "nobody"


@app.route("/private", methods=["GET", "POST"])
def private() -> str:
    return signed_in(request.environ).user.name


@app.get("/editors")
def editors() -> str:
    return signed_in(request.environ, groups=["editors", "chiefs"]).user.name
