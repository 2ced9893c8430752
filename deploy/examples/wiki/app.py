"""A small wiki that lets the auth server sign people in: Flask and ``sso_client``, nothing else.

Everything about sign-in is in ``create_app``: the middleware, one error handler, and ``signed_in`` in the views.
Set ``SSO_HUB``, ``SSO_REDIS_URL`` and ``APP_ORIGIN``, and ``APP_TITLE`` if it is called something else.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from flask import Flask, Response, abort, current_app, render_template, request
from sso_client import Answer, Refused, Session, SessionReader, login_url
from sso_client.wsgi import SSOMiddleware, signed_in

SHARED = Path(__file__).parent.parent / "shared"

#: The whole wiki: slug → title, text, who may read it.
PAGES: dict[str, tuple[str, str, str]] = {
    "welcome": (
        "Welcome",
        "Anybody may read this page. Sign in once, here or at the shop, and both know who you are.",
        "everybody",
    ),
    "on-call": (
        "On call this week",
        "Ada until Wednesday, Grace from Thursday. The pager lives in the second drawer.",
        "signed in",
    ),
    "style": (
        "House style",
        "One word for one thing. Plain words first. A page ends when it has said what it came to say.",
        "signed in",
    ),
    "drafts": ("Drafts", "Three pages wait for a second pair of eyes. Editors only.", "editors"),
}


def create_app() -> Flask:
    """The wiki as a WSGI application."""
    hub, origin = os.environ["SSO_HUB"], os.environ["APP_ORIGIN"]
    app = Flask(__name__, static_folder=SHARED, static_url_path="/static")
    app.config.update(HUB=hub, ORIGIN=origin, SHOP=os.environ.get("SHOP_ORIGIN", ""))
    app.config["SITE_TITLE"] = os.environ.get("APP_TITLE", "Wiki")

    def dress(answer: Answer) -> Answer:
        """Show 403 and 503 in the wiki's own design; nobody may be named when nobody can be known."""
        with app.app_context():
            page = render_template(
                "message.html", title=answer.title, message=answer.message, again=answer.status == 503
            )
        return answer.with_page(page, _security(hub).items())

    reader = SessionReader(os.environ["SSO_REDIS_URL"])
    quiet = ("/static/", "/healthz")
    guarded = SSOMiddleware(app.wsgi_app, reader, hub=hub, app_origin=origin, ignore=quiet, dress=dress)
    app.wsgi_app = guarded  # type: ignore[method-assign]
    app.register_error_handler(Refused, lambda refused: refused.answer)

    app.context_processor(_person)
    app.after_request(_headers)
    app.add_url_rule("/", "home", home)
    app.add_url_rule("/pages/<slug>", "page", page)
    app.add_url_rule("/search", "search", search)
    app.add_url_rule("/healthz", "healthz", lambda: {"status": "ok"})
    app.register_error_handler(404, _not_found)
    return app


def home() -> str:
    """The list of pages; anybody may see their titles."""
    return render_template("home.html", pages=PAGES)


def page(slug: str) -> str:
    """One page, for those who may read it."""
    title, text, readers = PAGES.get(slug) or abort(404)
    if readers != "everybody":
        signed_in(request.environ, groups=() if readers == "signed in" else [readers])
    return render_template("page.html", title=title, text=text, readers=readers)


def search() -> str:
    """Search for those signed in: its address carries a query, and that survives sign-in."""
    session = signed_in(request.environ)
    words, where = request.args.get("q", ""), request.args.get("in", "everything")
    found = {slug: entry for slug, entry in PAGES.items() if _matches(entry, words, where, session)}
    return render_template("search.html", words=words, where=where, found=found)


def _matches(entry: tuple[str, str, str], words: str, where: str, session: Session) -> bool:
    title, text, readers = entry
    readable = readers in ("everybody", "signed in", *session.user.groups)
    return readable and words.lower() in (title if where == "titles" else f"{title} {text}").lower()


def _person() -> dict[str, Any]:
    """What every template knows: who is here, and where to sign in and out."""
    config = app_config()
    if not request:
        return config | {"person": None, "login": None}
    here = config["origin"] + request.full_path.rstrip("?")
    session: Session | None = request.environ.get("sso.session")
    return config | {"person": session.user if session else None, "login": login_url(config["hub"], here)}


def app_config() -> dict[str, str]:
    """What it is called and where its neighbours are, for templates."""
    return {name: current_app.config[name.upper()] for name in ("hub", "origin", "shop", "site_title")}


def _security(hub: str) -> dict[str, str]:
    # form-action names the hub: signing out posts there. No `Referrer-Policy: no-referrer`, for under it browsers
    # send `Origin: null` with that form, and the hub would not know which app it comes from.
    return {
        "Content-Security-Policy": "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; "
        f"frame-ancestors 'none'; form-action 'self' {hub}",
        "Referrer-Policy": "strict-origin-when-cross-origin",
        "X-Content-Type-Options": "nosniff",
    }


def _headers(response: Response) -> Response:
    response.headers.update(_security(app_config()["hub"]))
    if response.mimetype == "text/html":
        # Every page shows who is signed in, so no cache may keep it, nor the back button show it later.
        response.headers["Cache-Control"] = "no-store"
        response.vary.add("Cookie")
    return response


def _not_found(_: Exception) -> tuple[str, int]:
    return render_template(
        "message.html", title="No such page", message="Perhaps it was renamed.", again=False
    ), 404
