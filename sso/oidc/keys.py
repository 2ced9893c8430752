"""The keys that sign what others verify: ID tokens and logout tokens.

A key pair is made at need and kept in SQL, the private part encrypted, so every process of every host signs with
the same one. The next key is published for :data:`AHEAD` before it signs, and an old one for :data:`STAYS` after:
whoever fetched the JWKS lately can verify whatever is around. RFC 7515, 7517, 7519; OpenID Connect Core §10.1.1.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

from cryptography.fernet import InvalidToken
from django.db import IntegrityError, transaction
from django.utils import timezone
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet, RSAKey

from accounts import sealing
from sso import audit
from sso.oidc.models import SigningKey

log = logging.getLogger("sso.oidc")

#: The one algorithm every OpenID Connect client must know (Core §15.1). 3072 bits: 128 bits of security.
ALGORITHM = "RS256"
BITS = 3072
#: A key signs so long before the next one takes its place.
SIGNS_FOR = timedelta(days=90)
#: The next key is published so long before it signs: clients keep a JWKS for a day at most.
AHEAD = timedelta(days=1)
#: A key that signs no more stays published so long: ID tokens come back as ``id_token_hint``.
STAYS = timedelta(days=31)
#: Seconds that a process goes by what it read from SQL.
REMEMBERED = 60
PURPOSE = "sso.oidc.keys"


class TokenRefused(ValueError):
    """Not a token of ours, or not of this type."""


class _Ring:
    """The keys as this process last read them; private parts are opened once."""

    def __init__(self) -> None:
        self.keys: list[SigningKey] = []
        self.read_at = 0.0
        self.opened: dict[str, RSAKey] = {}
        self.lock = threading.Lock()


_ring = _Ring()


def sign(claims: Mapping[str, Any], *, typ: str = "JWT") -> str:
    """A signed token with these claims; ``typ`` is its header's (``logout+jwt``, say).

    Raises ``DatabaseError`` when there is no key yet and SQL does not answer.
    """
    return signer(typ=typ)(claims)


def signer(*, typ: str = "JWT") -> Callable[[Mapping[str, Any]], str]:
    """The same in two steps: what may fail is done before the answer is called. Raises as :func:`sign` does."""
    key = _signer(_remembered())
    header = {"alg": ALGORITHM, "kid": key.kid, "typ": typ}
    return lambda claims: jwt.encode(dict(header), dict(claims), key, [ALGORITHM])


def verified(token: str, *, typ: str = "JWT") -> dict[str, Any]:
    """The claims of a token that one of the published keys signed; raises ``TokenRefused`` for all others.

    Says nothing about its age, who it is for and who made it up: those are claims.
    """
    try:
        found = jwt.decode(token, KeySet.import_key_set(jwks()), algorithms=[ALGORITHM])  # type: ignore[arg-type]
    except (JoseError, ValueError, TypeError, KeyError) as error:
        raise TokenRefused(type(error).__name__) from None
    if found.header.get("typ") != typ or not isinstance(found.claims, dict):
        raise TokenRefused("a token of another type")
    return found.claims


def now() -> int:
    """Unix seconds, as ``iat`` and ``exp`` count them."""
    return int(time.time())


def jwks() -> dict[str, Any]:
    """The public keys (RFC 7517 §5), newest first; makes the first one. Always as SQL has them now."""
    now = timezone.now()
    keys = _read(now)
    return {"keys": [key.public for key in keys if key.published_until is None or key.published_until > now]}


def rotate(*, at_once: bool = False, withdraw: bool = False) -> SigningKey:
    """Make the next key: it signs after :data:`AHEAD`, or ``at_once``.

    ``withdraw`` is for a key that others may have: older ones are neither published nor kept.
    """
    now = timezone.now()
    key = _make(SigningKey.objects.first(), now, now if at_once or withdraw else now + AHEAD)
    if withdraw:
        SigningKey.objects.exclude(pk=key.pk).update(published_until=now, sealed_private="")
    _forget()
    return key


# -- which one signs


def _remembered() -> list[SigningKey]:
    if not _ring.keys or time.monotonic() - _ring.read_at > REMEMBERED:
        _read(timezone.now())
    return _ring.keys


def _signer(keys: list[SigningKey]) -> RSAKey:
    """The newest key whose time has come and that opens; when none does (another SECRET_KEY), a new one."""
    now = timezone.now()
    for key in keys:
        if key.signs_from <= now and (opened := _open(key)):
            return opened
    log.error("signing_key_lost: no key opens with this SECRET_KEY or its fallbacks; making a new one")
    made = _open(rotate(at_once=True))
    if made is None:  # pragma: no cover - it was sealed a moment ago
        raise InvalidToken
    return made


def _open(key: SigningKey) -> RSAKey | None:
    if key.kid not in _ring.opened and key.sealed_private:
        try:
            private = sealing.keys(PURPOSE).decrypt(key.sealed_private.encode())
        except InvalidToken:
            return None
        _ring.opened[key.kid] = RSAKey.import_key(json.loads(private))
    return _ring.opened.get(key.kid)


# -- what SQL has


def _read(now: datetime) -> list[SigningKey]:
    """All keys, newest first, after making the next one if it is time."""
    with _ring.lock:
        keys = list(SigningKey.objects.all())
        if not keys or keys[0].signs_from <= now - (SIGNS_FOR - AHEAD):
            _make(keys[0] if keys else None, now, now + AHEAD if keys else now)
            keys = list(SigningKey.objects.all())
        _retire(keys, now)
        _ring.keys, _ring.read_at = keys, time.monotonic()
        kids = {key.kid for key in keys if key.sealed_private}
        _ring.opened = {kid: key for kid, key in _ring.opened.items() if kid in kids}
        return keys


def _forget() -> None:
    _ring.read_at, _ring.keys = 0.0, []


def _make(last: SigningKey | None, now: datetime, signs_from: datetime) -> SigningKey:
    """The key after ``last``, by us or by whoever was quicker."""
    number = last.number + 1 if last else 1
    pair = RSAKey.generate_key(BITS, {"use": "sig", "alg": ALGORITHM}, auto_kid=True)
    private = json.dumps(pair.as_dict(private=True)).encode()
    key = SigningKey(
        number=number,
        kid=pair.thumbprint(),
        public=pair.as_dict(private=False),
        sealed_private=sealing.keys(PURPOSE).encrypt(private).decode(),
        created=now,
        signs_from=signs_from,
    )
    try:
        with transaction.atomic():
            key.save(force_insert=True)
    except IntegrityError:
        return SigningKey.objects.get(number=number)
    log.info("signing_key_made kid=%s signs_from=%s", key.kid, signs_from.isoformat())
    audit.record(audit.Event.SIGNING_KEY_MADE, kid=key.kid)
    return key


def _retire(keys: list[SigningKey], now: datetime) -> None:
    """Once a successor signs, a key has nothing to sign with and an end."""
    signing = next((key for key in keys if key.signs_from <= now), None)
    for key in keys:
        if signing is None or key.number >= signing.number or key.published_until is not None:
            continue
        key.published_until, key.sealed_private = now + STAYS, ""
        key.save(update_fields=["published_until", "sealed_private"])
        log.info("signing_key_retired kid=%s published_until=%s", key.kid, key.published_until.isoformat())
        audit.record(audit.Event.SIGNING_KEY_RETIRED, kid=key.kid)


sealing.kept("signing keys", PURPOSE, SigningKey.objects.all, sealing.in_field("sealed_private"))
