"""Second factors and passkeys, where django-allauth asks us: encryption at rest and the passkeys' domain."""

from __future__ import annotations

import base64
from hashlib import sha256

from allauth.mfa.adapter import DefaultMFAAdapter
from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings


class FactorsAdapter(DefaultMFAAdapter):  # type: ignore[misc]
    """Secrets of one-time codes are kept encrypted; passkeys belong to the primary site's domain."""

    def encrypt(self, text: str) -> str:
        return _keys().encrypt(text.encode()).decode()

    def decrypt(self, encrypted_text: str) -> str:
        """Raises ``InvalidToken`` when no key fits: the code is then refused, never waved through."""
        try:
            return _keys().decrypt(encrypted_text.encode()).decode()
        except InvalidToken as error:
            raise InvalidToken("SECRET_KEY changed without SECRET_KEY_FALLBACKS") from error

    def get_public_key_credential_rp_entity(self) -> dict[str, str]:
        """The domain, not the host: passkeys work on every hub host of the site (WebAuthn §5.1.2)."""
        return {"id": settings.SSO_SITES.primary.domain, "name": settings.SSO_BRAND}

    def get_totp_issuer(self) -> str:
        return str(settings.SSO_BRAND)


def _keys() -> MultiFernet:
    """The first key encrypts, every one decrypts: rotating ``SECRET_KEY`` keeps the factors."""
    return MultiFernet([_key(secret) for secret in (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS)])


def _key(secret: str) -> Fernet:
    digest = sha256(b"accounts.factors\0" + secret.encode()).digest()
    return Fernet(base64.urlsafe_b64encode(digest))
