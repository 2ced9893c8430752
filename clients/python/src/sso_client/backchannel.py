"""For apps with sessions of their own: be told by the hub when somebody signs out.

    pip install sso-client[backchannel]

    receiver = Receiver("https://auth.example.com", client_id="shop-1f2e3d4c", on_logout=end_sessions)

    def end_sessions(sid: str, sub: str) -> None: ...

``receiver.wsgi`` and ``receiver.asgi`` are apps to mount at the logout URL; for Django see
:func:`sso_client.django.backchannel_logout`. OpenID Connect Back-Channel Logout 1.0 §2.5 to §2.8.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from dataclasses import dataclass
from typing import Any, Final, Protocol
from urllib.error import URLError
from urllib.parse import parse_qs
from urllib.request import HTTPRedirectHandler, Request, build_opener

from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from sso_client.errors import SSOClientError
from sso_client.login import check_origin

log = logging.getLogger("sso_client")

EVENT: Final = "http://schemas.openid.net/event/backchannel-logout"
#: Never ``none``, and no algorithm whose key the app has as well.
ALGORITHMS: Final = ["RS256", "ES256"]
TYPES: Final = frozenset({"logout+jwt", "application/logout+jwt"})
#: Characters of a token, bytes of a body and of a JWKS.
LONGEST, LONGEST_BODY, LONGEST_JWKS = 8_000, 16_000, 200_000
#: Seconds: how much clocks may differ, how old a message may be, how long keys are kept, between two fetches for a
#: key nobody knows, and how long a fetch may take.
SKEW, OLDEST, KEYS_LIVE, FETCH_AGAIN, FETCH_WAIT = 60, 600, 3600, 30, 5.0
#: Seconds to leave a hub alone that did not give its keys.
PAUSE: Final = 1.0
#: Messages that are remembered.
MOST_REMEMBERED = 10_000

#: Called with ``sid`` (one sign-in) and ``sub`` (the person's id); either may be empty: then it means all of the other.
OnLogout = Callable[[str, str], Any]
Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]


class LogoutRefused(SSOClientError):
    """Not a message of this hub to this app, or an old one; ``str()`` says why, without any of its content."""


class KeysUnavailable(SSOClientError):
    """The hub's keys could not be fetched: nobody can say whether a message is true. It is sent again."""


@dataclass(frozen=True, slots=True)
class Logout:
    """A message that is true. ``exp`` in Unix seconds."""

    sid: str
    sub: str
    jti: str
    exp: int


class Keys:
    """The hub's public keys, fetched when they are needed, kept for an hour, and again when one is not among them."""

    def __init__(self, address: str) -> None:
        self.address = address
        self._keys: KeySet | None = None
        self._fetched = self._failed = float("-inf")
        self._lock = threading.Lock()

    def of(self, kid: str) -> KeySet:
        """Keys with the one that is asked for, if the hub has it. Raises ``KeysUnavailable``."""
        with self._lock:
            age = time.monotonic() - self._fetched
            known = self._keys is not None and any(key.kid == kid for key in self._keys.keys)
            if self._keys is None or age > (KEYS_LIVE if known else FETCH_AGAIN):
                self._keys, self._fetched = self._fetch(), time.monotonic()
            return self._keys

    def _fetch(self) -> KeySet:
        if time.monotonic() < self._failed + PAUSE:
            raise KeysUnavailable(f"{self.address} did not answer a moment ago")
        try:
            with _opener.open(Request(self.address), timeout=FETCH_WAIT) as answer:  # noqa: S310 - checked by Receiver
                return KeySet.import_key_set(json.loads(answer.read(LONGEST_JWKS)))
        except (URLError, OSError, ValueError, KeyError, TypeError, JoseError) as error:
            self._failed = time.monotonic()
            raise KeysUnavailable(f"{self.address}: {type(error).__name__}") from error


class _NoRedirect(HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        return None


_opener = build_opener(_NoRedirect)


class Memory(Protocol):
    """Which messages came already. One that several processes share needs these two, such as over ``SET NX``."""

    def first(self, jti: str, exp: int) -> bool: ...

    def forget(self, jti: str) -> None: ...


class Remembered:
    """The messages of the last minutes, of one process; ``first`` says whether a ``jti`` is new, and remembers it."""

    def __init__(self) -> None:
        self._seen: OrderedDict[str, float] = OrderedDict()
        self._lock = threading.Lock()

    def first(self, jti: str, exp: int) -> bool:
        now = time.time()
        with self._lock:
            while self._seen and (
                len(self._seen) >= MOST_REMEMBERED or next(iter(self._seen.values())) < now
            ):
                self._seen.popitem(last=False)
            if jti in self._seen:
                return False
            self._seen[jti] = exp + 2 * SKEW
            return True

    def forget(self, jti: str) -> None:
        """It could not be followed: the same message is welcome once more."""
        with self._lock:
            self._seen.pop(jti, None)


class Receiver:
    """Checks what comes to the app's logout URL, and calls ``on_logout(sid, sub)`` for each message that is true.

    Args:
        hub: the hub's origin, as ``https://auth.example.com``: whose messages count.
        client_id: the app's, as ``register_app`` printed it: to whom they must be addressed.
        on_logout: ends the app's own sessions of this sign-in. May be a coroutine function with ``asgi``. When it
            raises, the hub is answered 500 and sends the message again.
        jwks: where the hub's keys are, when that is another address.
        memory: a :class:`Memory` that several processes share; without one each remembers what it saw itself.
    """

    def __init__(
        self,
        hub: str,
        *,
        client_id: str,
        on_logout: OnLogout,
        jwks: str = "",
        memory: Memory | None = None,
    ) -> None:
        self.hub, self.client_id, self.on_logout = check_origin(hub), client_id, on_logout
        if jwks:
            check_origin("/".join(jwks.split("/")[:3]))
        self.keys = Keys(jwks or f"{self.hub}/.well-known/jwks.json")
        self.memory: Memory = memory or Remembered()

    # -- one message

    def verified(self, token: str) -> Logout:
        """What a logout token says, if this hub signed it for this app a moment ago.

        Raises ``LogoutRefused`` or ``KeysUnavailable``. A second look at the same token is no replay here;
        :meth:`take` remembers.
        """
        claims = self._signed(token)
        self._check_address(claims)
        exp = _check_time(claims)
        _check_event(claims)
        sid, sub, jti = (_text(claims, name) for name in ("sid", "sub", "jti"))
        if not (sid or sub) or not jti:
            raise LogoutRefused("says of nobody that they signed out, or has no jti")
        return Logout(sid, sub, jti, exp)

    def take(self, token: str) -> Logout:
        """Check a token, and that it comes for the first time. Raises ``LogoutRefused`` or ``KeysUnavailable``."""
        logout = self.verified(token)
        if not self.memory.first(logout.jti, logout.exp):
            raise LogoutRefused("was received before")
        return logout

    def _signed(self, token: str) -> dict[str, Any]:
        if len(token) > LONGEST or token.count(".") != 2:
            raise LogoutRefused("is no signed token")
        try:
            header = jws.extract_compact(token.encode("ascii")).headers()
            kid, typ = header.get("kid"), str(header.get("typ", "")).lower()
            if header.get("alg") not in ALGORITHMS or typ not in TYPES or not isinstance(kid, str):
                raise LogoutRefused("is of another type or algorithm")
            found = jws.deserialize_compact(token.encode("ascii"), self.keys.of(kid), algorithms=ALGORITHMS)
            claims = json.loads(found.payload)
        except (JoseError, ValueError, TypeError, KeyError, RecursionError) as error:
            raise LogoutRefused(f"has no good signature ({type(error).__name__})") from None
        if not isinstance(claims, dict):
            raise LogoutRefused("holds no claims")
        return claims

    def _check_address(self, claims: dict[str, Any]) -> None:
        audience = claims.get("aud")
        audiences = audience if isinstance(audience, list) else [audience]
        if claims.get("iss") != self.hub or self.client_id not in audiences:
            raise LogoutRefused("is from somebody else, or for somebody else")

    # -- one request

    def respond(self, method: str, content_type: str, body: bytes) -> tuple[int, bytes]:
        """Status and JSON body for a request that was read; calls ``on_logout``, which must be a plain function."""
        status, answer, logout = self._look(method, content_type, body)
        if logout is not None:
            try:
                self.on_logout(logout.sid, logout.sub)
            except Exception:
                return self._failed(logout)
        return status, answer

    async def arespond(self, method: str, content_type: str, body: bytes) -> tuple[int, bytes]:
        """:meth:`respond` for an event loop; keys are fetched in a thread."""
        status, answer, logout = await asyncio.to_thread(self._look, method, content_type, body)
        if logout is not None:
            try:
                done = self.on_logout(logout.sid, logout.sub)
                if inspect.isawaitable(done):
                    await done
            except Exception:
                return self._failed(logout)
        return status, answer

    def _look(self, method: str, content_type: str, body: bytes) -> tuple[int, bytes, Logout | None]:
        if method != "POST":
            return 405, _error("only POST is answered here"), None
        try:
            return 200, b"", self.take(_token_of(content_type, body))
        except LogoutRefused as refused:
            log.warning("logout_refused: a message %s", refused)
            return 400, _error(f"The message {refused}."), None
        except KeysUnavailable as error:
            log.warning("logout_keys_unavailable: %s", error)
            return 503, _error("the hub's keys cannot be fetched", "temporarily_unavailable"), None

    def _failed(self, logout: Logout) -> tuple[int, bytes]:
        log.exception("logout_not_done sid=%s", logout.sid)
        self.memory.forget(logout.jti)
        return 500, _error("the app could not end its session", "server_error")

    # -- servers

    def wsgi(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """A WSGI app for the logout URL."""
        try:
            length = int(environ.get("CONTENT_LENGTH") or 0)
        except ValueError:
            length = 0
        body = environ["wsgi.input"].read(min(max(length, 0), LONGEST_BODY))
        method, kind = environ["REQUEST_METHOD"], environ.get("CONTENT_TYPE", "")
        status, answer = self.respond(method, kind, body if length <= LONGEST_BODY else b"")
        start_response(f"{status} {_PHRASES[status]}", list(headers(status).items()))
        return [answer]

    async def asgi(
        self,
        scope: Scope,
        receive: Callable[[], Awaitable[Message]],
        send: Callable[[Message], Awaitable[None]],
    ) -> None:
        """An ASGI app for the logout URL."""
        if scope["type"] != "http":
            return
        body, more = b"", True
        while more and len(body) <= LONGEST_BODY:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        kind = next((v.decode("latin-1") for k, v in scope["headers"] if k.lower() == b"content-type"), "")
        status, answer = await self.arespond(
            scope["method"], kind, body if len(body) <= LONGEST_BODY else b""
        )
        pairs = [(name.encode(), value.encode()) for name, value in headers(status).items()]
        await send({"type": "http.response.start", "status": status, "headers": pairs})
        await send({"type": "http.response.body", "body": answer})


_PHRASES = {
    200: "OK",
    400: "Bad Request",
    405: "Method Not Allowed",
    500: "Internal Server Error",
    503: "Service Unavailable",
}


def headers(status: int) -> dict[str, str]:
    """What every answer carries: nothing here may be cached (§2.8)."""
    more = {405: {"Allow": "POST"}, 503: {"Retry-After": "5"}}.get(status, {})
    return {"Cache-Control": "no-store", "Content-Type": "application/json", **more}


def _error(description: str, code: str = "invalid_request") -> bytes:
    return json.dumps({"error": code, "error_description": description}).encode()


def _token_of(content_type: str, body: bytes) -> str:
    """The one ``logout_token`` of a form. Raises ``LogoutRefused``."""
    if content_type.partition(";")[0].strip().lower() != "application/x-www-form-urlencoded":
        raise LogoutRefused("is no form")
    try:
        given = parse_qs(body.decode("ascii"), max_num_fields=20).get("logout_token", [])
    except ValueError:
        given = []
    if len(given) != 1:
        raise LogoutRefused("has not one logout_token")
    return given[0]


def _text(claims: dict[str, Any], name: str) -> str:
    value = claims.get(name, "")
    if not isinstance(value, str) or len(value) > 255:
        raise LogoutRefused(f"has a {name} that is no text")
    return value


def _check_time(claims: dict[str, Any]) -> int:
    iat, exp, now = claims.get("iat"), claims.get("exp"), time.time()
    if not all(isinstance(when, int) and not isinstance(when, bool) for when in (iat, exp)):
        raise LogoutRefused("has no times")
    assert isinstance(iat, int)  # noqa: S101 - for the type checker
    assert isinstance(exp, int)  # noqa: S101
    if exp <= now - SKEW or iat > now + SKEW or iat < now - OLDEST or exp > now + OLDEST + SKEW:
        raise LogoutRefused("is too old, or from the future")
    return exp


def _check_event(claims: dict[str, Any]) -> None:
    events = claims.get("events")
    if not isinstance(events, dict) or not isinstance(events.get(EVENT), dict) or "nonce" in claims:
        raise LogoutRefused("is no logout token")
