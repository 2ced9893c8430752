"""A security key in software, for tests: it signs what it is asked to, with or without having asked for a PIN."""

from __future__ import annotations

import json
from base64 import urlsafe_b64encode
from dataclasses import dataclass, field
from hashlib import sha256
from secrets import token_bytes
from typing import Any

from allauth.account.utils import user_pk_to_url_str
from allauth.mfa.models import Authenticator
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from fido2.cose import ES256
from fido2.webauthn import AttestationObject, AttestedCredentialData, AuthenticatorData

from accounts.models import User

FLAG = AuthenticatorData.FLAG


def _text(raw: bytes) -> str:
    return urlsafe_b64encode(raw).decode().rstrip("=")


@dataclass
class SecurityKey:
    """One credential for the site ``domain``, signed for by pages of ``origin``."""

    domain: str
    origin: str
    id: bytes = field(default_factory=lambda: token_bytes(16))
    private: ec.EllipticCurvePrivateKey = field(
        default_factory=lambda: ec.generate_private_key(ec.SECP256R1())
    )

    def belongs_to(self, user: User) -> Authenticator:
        """Enter it among the user's factors, as the page for adding one would."""
        public = AttestedCredentialData.create(
            b"\0" * 16,
            self.id,
            ES256.from_cryptography_key(self.private.public_key()),  # type: ignore[no-untyped-call]
        )
        made = AuthenticatorData.create(self._domain_hash, FLAG.UP | FLAG.UV | FLAG.AT, 0, public)
        response = {
            "clientDataJSON": self._client_data("webauthn.create", "eA"),
            "attestationObject": _text(AttestationObject.create("none", made, {})),
        }
        credential = {
            "id": _text(self.id),
            "rawId": _text(self.id),
            "type": "public-key",
            "response": response,
        }
        return Authenticator.objects.create(
            user=user,
            type=Authenticator.Type.WEBAUTHN,
            data={"name": "key", "credential": {**credential, "clientExtensionResults": {}}},
        )

    def sign(self, options: dict[str, Any], user: User, *, pin: bool) -> dict[str, Any]:
        """What ``navigator.credentials.get`` gives; without ``pin`` the key was only touched."""
        flags = FLAG.UP | (FLAG.UV if pin else FLAG(0))
        data = AuthenticatorData.create(self._domain_hash, flags, 0)
        client = self._client_data("webauthn.get", options["publicKey"]["challenge"])
        signed = self.private.sign(data + sha256(_bytes(client)).digest(), ec.ECDSA(SHA256()))
        response = {
            "clientDataJSON": client,
            "authenticatorData": _text(data),
            "signature": _text(signed),
            "userHandle": _text(user_pk_to_url_str(user).encode()),
        }
        return {"id": _text(self.id), "rawId": _text(self.id), "type": "public-key", "response": response}

    @property
    def _domain_hash(self) -> bytes:
        return sha256(self.domain.encode()).digest()

    def _client_data(self, kind: str, challenge: str) -> str:
        content = {"type": kind, "challenge": challenge, "origin": self.origin, "crossOrigin": False}
        return _text(json.dumps(content).encode())


def _bytes(text: str) -> bytes:
    from fido2.utils import websafe_decode

    return bytes(websafe_decode(text))
