"""The OpenAPI 3.1 document at ``/api/openapi.json``. It gets fuzzed: what it says is what happens.

Schemas come from the types that views read and write, refusals from the error classes that views raise.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from functools import cache
from typing import Any

import msgspec
from django.conf import settings

from sso import errors
from sso.api import bodies
from sso.api.errors import ConfirmationRequired
from sso.doctor import observations
from sso.edge import errors as edge_errors
from sso.handoff.errors import WrongHub

Json = dict[str, Any]
Refusal = type[errors.SSOError]
VERSION = "1.0.0"

_TYPES = (
    bodies.Credentials,
    *bodies.STEPS.values(),
    bodies.StepBody,
    bodies.SessionBody,
    bodies.CsrfBody,
    bodies.SignInsBody,
    bodies.ErrorBody,
    bodies.NobodyBody,
    bodies.StatusBody,
    observations.Arrived,
    observations.AppPage,
    observations.FindingsBody,
)


@cache
def document() -> bytes:
    """The whole document as JSON; it depends on the settings alone."""
    return msgspec.json.encode(
        {
            "openapi": "3.1.0",
            "info": {
                "title": "Sign-in",
                "version": VERSION,
                "summary": _SUMMARY,
                "description": _DESCRIPTION,
            },
            "servers": [{"url": str(site.hub)} for site in settings.SSO_SITES],
            "paths": paths(),
            "components": {"schemas": _schemas(), "securitySchemes": _security_schemes()},
        }
    )


_SUMMARY = "Who is signed in, signing in and out, forward auth."
_DESCRIPTION = (
    "Errors have one shape, `{error, message}`. Answers are never stored (`Cache-Control: no-store`) and never "
    "redirect, except where a proxy needs it. A state change needs an `Origin` (or `Referer`) of the hub or of a "
    "registered app, and the token of `GET /api/csrf`, also as `X-CSRFToken` or `X-XSRF-TOKEN`."
)

#: The bodies of ``POST /api/session``, one for each step.
_STEPS = ["Credentials", *(step.__name__ for step in bodies.STEPS.values())]


def paths() -> dict[str, Json]:
    """Every address and method that answers something other than 404 and 405."""
    return {
        "/api/session": {"get": _get_session(), "post": _post_session(), "delete": _delete_session()},
        "/api/csrf": {"get": _get_csrf()},
        "/api/sessions": {"get": _get_sessions()},
        "/api/sessions/{sid}": {"delete": _delete_sign_in()},
        "/api/introspect": {"post": _introspect()},
        "/api/authz/auth-request": {"get": _auth_request()},
        "/api/authz/forward-auth": {"get": _forward_auth()},
        "/api/authz/ext-authz/{path}": {method: _ext_authz(method) for method in _METHODS},
        "/api/doctor/seen": {
            "get": _about(
                "whatArrived", "What of this request arrived", _ref("Arrived"), security=_COOKIE_OR_NOT
            )
        },
        "/api/doctor/judge": {"post": _judge()},
        "/api/openapi.json": {"get": _about("openapi", "This document", {"type": "object"})},
        "/healthz": {"get": _about("alive", "Whether this process answers", _ref("StatusBody"))},
        "/readyz": {"get": _ready()},
        "/metrics": {"get": _metrics()},
    }


# -- sessions


def _get_session() -> Json:
    return {
        "operationId": "whoIsSignedIn",
        "summary": "Who is signed in here",
        "security": [{"sharedCookie": []}],
        "responses": {
            "200": _json("Somebody is.", "SessionBody"),
            "401": _json("`not_signed_in`: nobody is. Go to `login_url`.", "NobodyBody"),
        }
        | refusals(errors.TryAgain),
    }


def _post_session() -> Json:
    return {
        "operationId": "signIn",
        "summary": "Sign in",
        "security": [_CSRF],
        "requestBody": {"required": True, "content": {"application/json": {"schema": _any_of(_STEPS)}}},
        "responses": refusals(
            errors.BadRequest,
            edge_errors.BodyTooLarge,
            errors.UnsupportedMediaType,
            errors.TooManyAttempts,
            WrongHub,
            *_STATE_CHANGE,
        )
        | {
            "200": _json("Signed in; both cookies are set.", "SessionBody")
            | {"headers": {"Set-Cookie": _header("`__Host-sso_hub` and the shared cookie.")}},
            "401": {
                "description": "`mfa_required`, `passkey_required`, `code_required` or `verification_required`: "
                "one more step. `bad_credentials`, `session_ended`: not signed in.",
                "content": {"application/json": {"schema": _any_of(["StepBody", "ErrorBody"])}},
            },
        },
    }


def _delete_session() -> Json:
    everywhere = _parameter(
        "query", "everywhere", "1 ends all sign-ins of this person; the hub session is needed.", ["0", "1"]
    )
    return {
        "operationId": "signOut",
        "summary": "Sign out here, on every site; also answers when nobody was signed in",
        "security": [_CSRF],
        "parameters": [everywhere],
        "responses": {"204": {"description": "Nobody is signed in here any more."}}
        | refusals(errors.BadRequest, errors.NotSignedIn, *_STATE_CHANGE),
    }


def _get_csrf() -> Json:
    return {
        "operationId": "csrfToken",
        "summary": "A token for state changes, and the cookie it belongs to",
        "security": [],
        "responses": {
            "200": _json("The token.", "CsrfBody")
            | {"headers": {"Set-Cookie": _header("`__Host-sso_csrf`.")}}
        }
        | refusals(errors.BadRequest, errors.TryAgain),
    }


def _get_sessions() -> Json:
    return {
        "operationId": "mySignIns",
        "summary": "Where I am signed in",
        "security": [{"hubCookie": []}],
        "responses": {"200": _json("My living sign-ins.", "SignInsBody")}
        | refusals(errors.BadRequest, errors.NotSignedIn, WrongHub, errors.TryAgain),
    }


def _delete_sign_in() -> Json:
    return {
        "operationId": "endSignIn",
        "summary": "End one of my sign-ins",
        "security": [_CSRF | {"hubCookie": []}],
        "parameters": [_parameter("path", "sid", "Its public id.", pattern="^[A-Za-z0-9_-]{1,64}$")],
        "responses": {"204": {"description": "It has ended."}}
        | refusals(
            errors.BadRequest,
            errors.NotSignedIn,
            errors.NotFound,
            ConfirmationRequired,
            WrongHub,
            *_STATE_CHANGE,
        ),
    }


# -- for servers and proxies


def _introspect() -> Json:
    form = {
        "type": "object",
        "required": ["token"],
        "properties": {
            "token": {"type": "string", "minLength": 1, "description": "The value of the shared cookie."},
            "token_type_hint": {"type": "string"},
        },
    }
    return {
        "operationId": "introspect",
        "summary": "Whose session a cookie value is (RFC 7662)",
        "security": [{"appCredentials": []}],
        "requestBody": {"required": True, "content": {"application/x-www-form-urlencoded": {"schema": form}}},
        "responses": {
            "200": {
                "description": "`active` is false for everything this app may not know.",
                "content": {"application/json": {"schema": _INTROSPECTION}},
            }
        }
        | refusals(
            errors.BadRequest,
            edge_errors.InvalidClient,
            edge_errors.BodyTooLarge,
            edge_errors.FormWanted,
            errors.TooManyAttempts,
            errors.TryAgain,
        ),
    }


def _auth_request() -> Json:
    asked = [
        _parameter("header", "X-Original-URL", "The full address the client asked for."),
        _parameter("header", "X-Original-Method", "Its method.", pattern=_METHOD),
    ]
    return _authz("authRequest", "Forward auth for nginx and HAProxy", asked)


def _forward_auth() -> Json:
    asked = [
        _parameter("header", "X-Forwarded-Method", "The client's method.", pattern=_METHOD),
        _parameter("header", "X-Forwarded-Proto", "The scheme it used.", _SCHEMES),
        _parameter("header", "X-Forwarded-Host", "The host it asked, with the port."),
        _parameter("header", "X-Forwarded-Uri", "Path and query, as on the wire.", pattern="^/"),
    ]
    return _authz("forwardAuth", "Forward auth for Traefik and Caddy", asked, redirects=True)


def _ext_authz(method: str) -> Json:
    asked = [
        _parameter("path", "path", "The path and query the client asked for."),
        _parameter("header", "X-Forwarded-Proto", "The scheme it used.", _SCHEMES),
    ]
    return _authz(
        f"extAuthz_{method}", "Forward auth for Envoy, in the client's own method", asked, redirects=True
    )


def _authz(name: str, summary: str, parameters: list[Json], *, redirects: bool = False) -> Json:
    """Missing and malformed headers are 400 ``bad_target``; nobody but a trusted proxy gets that far."""
    location = {"headers": {"Location": _header("The sign-in page.")}}
    moved = {"description": "A navigation of nobody, or of somebody who must prove more.", **location}
    answers: dict[str, Json] = refusals(
        errors.BadRequest,
        edge_errors.TargetRefused,
        edge_errors.UntrustedProxy,
        edge_errors.UnknownApp,
        edge_errors.AccessRefused,
        errors.TryAgain,
    )
    answers["200"] = {
        "description": "The request may pass. Empty headers say that nobody is known.",
        "headers": {f"Remote-{n}": _header("Identity.") for n in ("User", "Groups", "Name", "Email", "Id")},
    }
    answers["401"] = (
        _json("`not_signed_in` or `step_up_required`, with `login_url`.", "NobodyBody") | location
    )
    answers |= {"302": moved, "303": moved} if redirects else {}
    return {
        "operationId": name,
        "summary": summary,
        "security": [{"sharedCookie": []}, {}],
        "parameters": parameters,
        "responses": answers,
    }


def _judge() -> Json:
    return {
        "operationId": "judge",
        "summary": "What an app's page saw, and what that means",
        "security": [],
        "requestBody": {"required": True, "content": {"application/json": {"schema": _ref("AppPage")}}},
        "responses": {"200": _json("What is wrong, the worst first.", "FindingsBody")}
        | refusals(
            errors.BadRequest,
            edge_errors.BodyTooLarge,
            errors.UnsupportedMediaType,
            errors.TooManyAttempts,
            errors.TryAgain,
        ),
    }


def _ready() -> Json:
    about = _about("ready", "Whether Redis, the registry and the database answer", _ref("StatusBody"))
    about["responses"] |= refusals(errors.TryAgain)
    return about


def _metrics() -> Json:
    text = {"schema": {"type": "string"}}
    answer = {
        "description": "Numbers.",
        "content": {"text/plain": text, "application/openmetrics-text": text},
    }
    return {
        "operationId": "metrics",
        "summary": "Counts and times for Prometheus",
        # Not as a scheme: whoever lacks the token gets no 401 but what any unknown address answers.
        "description": "For whom the operator names, by `Authorization: Bearer` or by address.",
        "security": [],
        "responses": {"200": answer} | refusals(errors.NotFound),
    }


def _about(name: str, summary: str, schema: Json, security: Iterable[Json] = ()) -> Json:
    answer = {"description": "Yes.", "content": {"application/json": {"schema": schema}}}
    return {
        "operationId": name,
        "summary": summary,
        "security": list(security),
        "responses": {"200": answer} | refusals(errors.BadRequest),
    }


# -- the words above are made of


_METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace")
_METHOD = "^[A-Z][A-Z-]{0,31}$"
_SCHEMES = ["http", "https", "ws", "wss"]
_COOKIE_OR_NOT: tuple[Json, ...] = ({"sharedCookie": []}, {})
_CSRF: Json = {"csrfCookie": [], "csrfToken": []}
_STATE_CHANGE: tuple[Refusal, ...] = (errors.OriginRefused, errors.CsrfFailed, errors.TryAgain)


def refusals(*kinds: Refusal) -> dict[str, Json]:
    """The responses that these errors are, by status, each naming exactly the codes it may carry."""
    by_status: dict[int, list[Refusal]] = defaultdict(list)
    for kind in kinds:
        by_status[kind.status].append(kind)
    return {str(status): _refusal(status, same) for status, same in sorted(by_status.items())}


def _refusal(status: int, kinds: list[Refusal]) -> Json:
    codes = {"properties": {"error": {"enum": [kind.code for kind in kinds]}}}
    answer: Json = {
        "description": " ".join(f"`{kind.code}`: {kind.public}" for kind in kinds),
        "content": {"application/json": {"schema": {"allOf": [_ref("ErrorBody"), codes]}}},
    }
    if status in (429, 503):
        answer["headers"] = {"Retry-After": _header("Whole seconds.", required=True)}
    return answer


def _json(description: str, schema: str) -> Json:
    return {"description": description, "content": {"application/json": {"schema": _ref(schema)}}}


def _any_of(names: Iterable[str]) -> Json:
    return {"anyOf": [_ref(name) for name in names]}


def _ref(name: str) -> Json:
    return {"$ref": f"#/components/schemas/{name}"}


def _header(description: str, *, required: bool = False) -> Json:
    return {"description": description, "required": required, "schema": {"type": "string"}}


def _parameter(
    where: str,
    name: str,
    description: str,
    enum: list[str] | None = None,
    *,
    pattern: str | None = None,
) -> Json:
    schema: Json = (
        {"type": "string"} | ({"enum": enum} if enum else {}) | ({"pattern": pattern} if pattern else {})
    )
    return {
        "in": where,
        "name": name,
        "description": description,
        "required": where != "query",
        "schema": schema,
    }


def _schemas() -> Json:
    _, components = msgspec.json.schema_components(_TYPES, ref_template="#/components/schemas/{name}")
    # JSON Schema has the word for what ``Credentials.__post_init__`` asks.
    components["Credentials"]["oneOf"] = [{"required": ["username"]}, {"required": ["email"]}]
    return components


def _security_schemes() -> Json:
    cookie = {"type": "apiKey", "in": "cookie"}
    return {
        "sharedCookie": cookie | {"name": settings.SSO_COOKIE_NAME, "description": "Says who somebody is."},
        "hubCookie": cookie | {"name": settings.SESSION_COOKIE_NAME, "description": "Opens the account."},
        "csrfCookie": cookie | {"name": settings.CSRF_COOKIE_NAME},
        "csrfToken": {"type": "apiKey", "in": "header", "name": "X-CSRF-Token"},
        "appCredentials": {"type": "http", "scheme": "basic", "description": "The app's id and secret."},
    }


_TEXT: Json = {"type": "string"}
_TEXTS: Json = {"type": "array", "items": _TEXT}
_MOMENT: Json = {"type": "integer", "minimum": 0}
_CLAIMS: Json = {
    "client_id": _TEXT,
    "sub": _TEXT,
    "username": _TEXT,
    "email": _TEXT,
    "name": _TEXT,
    "groups": _TEXTS,
    "sid": _TEXT,
    "amr": _TEXTS,
    "auth_time": _MOMENT,
    "iat": _MOMENT,
    "exp": _MOMENT,
}
_INTROSPECTION: Json = {
    "oneOf": [
        {
            "type": "object",
            "properties": {"active": {"const": False}},
            "required": ["active"],
            "additionalProperties": False,
        },
        {
            "type": "object",
            "properties": {"active": {"const": True}} | _CLAIMS,
            "required": ["active", *_CLAIMS],
        },
    ]
}
