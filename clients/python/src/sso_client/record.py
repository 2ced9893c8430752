"""The shared session as relying apps read it from Redis: version 1 of the record."""

from __future__ import annotations

import json
import logging
from hashlib import sha256
from typing import Annotated, Any, Final, Literal

import msgspec

log = logging.getLogger("sso_client")

#: A record is some hundred bytes; whatever is larger was not written by the auth server.
MAX_RECORD: Final = 64 * 1024

_Id = Annotated[str, msgspec.Meta(min_length=1)]
_Moment = Annotated[int, msgspec.Meta(ge=0, lt=2**53)]
_Seconds = Annotated[int, msgspec.Meta(gt=0, lt=2**31)]


class Identity(msgspec.Struct, frozen=True, gc=False):
    """What an app gets to know about a person. Key your data by ``id``: the rest changes and is reused."""

    id: _Id
    username: str
    email: str
    name: str
    groups: tuple[str, ...]


class Actor(msgspec.Struct, frozen=True, gc=False):
    """Who is really there, when an administrator looks at things as somebody else (RFC 8693 §4.1)."""

    id: _Id
    username: str


class Session(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """One sign-in on one site. Times are Unix seconds, ``idle`` is a number of seconds."""

    v: Literal[1]
    #: Public id of the sign-in; no secret.
    sid: _Id
    site: str
    user: Identity
    #: How the person authenticated (RFC 8176 names such as ``pwd``, ``otp``).
    amr: tuple[str, ...]
    auth_time: _Moment
    iat: _Moment
    #: Absolute end; nothing extends it.
    exp: _Moment
    #: Life without activity.
    idle: _Seconds
    #: An administrator who is signed in as ``user``, for support; None: it is the person.
    act: Actor | None = None


_decoder = msgspec.json.Decoder(Session)
_encoder = msgspec.json.Encoder()


def _check_unambiguous(raw: bytes) -> None:
    """Refuse (ValueError) JSON that readers in other languages read differently: names twice, NaN (RFC 8259 §4, §6).

    What the auth server writes needs no such look: it is what encoding the session gives, byte for byte.
    """
    json.loads(raw, object_pairs_hook=_named_once, parse_constant=_no_number)


def _named_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise ValueError("a name twice")
    return fields


def _no_number(name: str) -> None:
    raise ValueError(name)


def decode(raw: bytes, now: float) -> Session | None:
    """The session in ``raw``, or None when it is none or ended before ``now`` (Unix seconds). Never raises.

    Whatever the auth server did not write is nobody and one log line (``bad_record``), without its content.
    """
    if len(raw) > MAX_RECORD:
        log.warning("bad_record: %d bytes where a session of at most %d was expected", len(raw), MAX_RECORD)
        return None
    try:
        session = _decoder.decode(raw)
        if _encoder.encode(session) != raw:
            _check_unambiguous(raw)
    except (ValueError, RecursionError) as error:
        log.warning("bad_record: not a session of version 1 (%s)", type(error).__name__)
        return None
    return session if session.exp > now else None


def session_key(prefix: str, value: str) -> str:
    """The Redis key of a cookie's value: whoever reads Redis learns no value to present."""
    return f"{prefix}session:{sha256(value.encode()).hexdigest()}"
