"""``POST /api/introspect``: an app's server asks about a cookie value (RFC 7662), for what cannot reach Redis."""

from __future__ import annotations

import hmac
import logging
from base64 import b64decode
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from sso_client.cookies import TOKEN

from sso.edge.answers import json_answer
from sso.edge.directory import wanted_directory
from sso.edge.errors import BodyTooLarge, FormWanted, InvalidClient
from sso.edge.remembered import Remembered, wanted_session
from sso.edge.requests import Asked, Steps, WantBody
from sso.errors import BadRequest, MethodNotAllowed, TooManyAttempts
from sso.registry import App, secret_hash

if TYPE_CHECKING:
    from sso.edge.core import Edge

log = logging.getLogger("sso.edge")

#: Bytes of body; a form with a token and a hint has some eighty.
BODY_LIMIT = 4096
#: An app has two secrets while one replaces the other. Unknown ids and single secrets cost two comparisons too.
_SECRETS = 2
_NO_SECRET = "0" * 64


def answer(edge: Edge, asked: Asked) -> Steps:
    """200 with ``active``; 401 for wrong credentials, 429 after too many of them, 400, 405, 413 and 415.

    ``{"active": false}`` is all an app learns of sessions of other sites, and of people it does not admit.
    """
    if asked.method != "POST":
        raise MethodNotAllowed("POST")
    client_id, secret = _credentials(asked)
    key = (client_id, _client_address(edge, asked))
    if wait := edge.throttle.wait(key):
        raise TooManyAttempts("introspection credentials", retry_after=wait)
    directory = yield from wanted_directory()
    app = directory.registry.app_of_client(client_id)
    if not _is_secret_of(app, secret) or app is None:
        edge.throttle.failed(key)
        # The edge has no database, so this is no event of the audit trail. What was sent as an id stays out.
        log.warning("introspection_refused app=%s address=%s", app.name if app else "-", key[1])
        raise InvalidClient
    if (asked.header("content-type") or "").partition(";")[0].strip().lower() != _FORM:
        raise FormWanted
    body: bytes | None = yield WantBody(BODY_LIMIT)
    token = _token(body)
    value = token if TOKEN.fullmatch(token) else None
    remembered = yield from wanted_session(value, directory.sites_of(app))
    return json_answer(200, _content(app, remembered))


_FORM = "application/x-www-form-urlencoded"


def _credentials(asked: Asked) -> tuple[str, str]:
    """Id and secret out of HTTP Basic (RFC 7617)."""
    scheme, _, encoded = (asked.header("authorization") or "").partition(" ")
    try:
        client_id, colon, secret = b64decode(encoded.strip(), validate=True).decode().partition(":")
    except ValueError:
        raise InvalidClient from None
    if scheme.lower() != "basic" or not colon or not client_id or not secret:
        raise InvalidClient
    return client_id, secret


def _client_address(edge: Edge, asked: Asked) -> str:
    """Where the caller is, as far as our own proxies vouch for it; raises ``BadRequest`` for what they garbled."""
    forwarded = asked.header("x-forwarded-for")
    return edge.proxies.view(peer=asked.peer, scheme="", host="", forwarded_for=forwarded).address


def _is_secret_of(app: App | None, secret: str) -> bool:
    """Compare with every secret that is valid now, in the same time whatever the app, known or not."""
    presented = secret_hash(secret)
    hashes = (app.secret_hashes if app else ()) + (_NO_SECRET,) * _SECRETS
    found = [hmac.compare_digest(presented, valid) for valid in hashes[:_SECRETS]]
    return any(found)


def _token(body: bytes | None) -> str:
    """The one ``token`` of the form."""
    if body is None:
        raise BodyTooLarge
    try:
        fields = parse_qsl(body.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=16)
    except ValueError:
        raise BadRequest("the body is not a form") from None
    tokens = [value for name, value in fields if name == "token"]
    if len(tokens) != 1 or not tokens[0]:
        raise BadRequest("token is needed, once")
    return tokens[0]


def _content(app: App, remembered: Remembered | None) -> dict[str, Any]:
    """RFC 7662 §2.2."""
    if remembered is None or not app.admits(remembered.session.user.groups):
        return {"active": False}
    session, user = remembered.session, remembered.session.user
    return {
        "active": True,
        "client_id": app.client_id,
        "sub": user.id,
        "username": user.username,
        "email": user.email,
        "name": user.name,
        "groups": user.groups,
        "sid": session.sid,
        "amr": session.amr,
        "auth_time": session.auth_time,
        "iat": session.iat,
        "exp": session.exp,
        # RFC 8693 §4.1: ``sub`` is who acts.
        **({"act": {"sub": session.act.id, "username": session.act.username}} if session.act else {}),
    }
