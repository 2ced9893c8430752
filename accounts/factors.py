"""Second factors and passkeys, where django-allauth asks us: encryption at rest and the passkeys' domain."""

from __future__ import annotations

from typing import Any

from allauth.mfa.adapter import DefaultMFAAdapter
from cryptography.fernet import InvalidToken
from django.conf import settings

from accounts import sealing

PURPOSE = "accounts.factors"


class FactorsAdapter(DefaultMFAAdapter):  # type: ignore[misc]
    """Secrets of one-time codes are kept encrypted; passkeys belong to the primary site's domain."""

    def encrypt(self, text: str) -> str:
        return sealing.keys(PURPOSE).encrypt(text.encode()).decode()

    def decrypt(self, encrypted_text: str) -> str:
        """Raises ``InvalidToken`` when no key fits: the code is then refused, never waved through."""
        try:
            return sealing.keys(PURPOSE).decrypt(encrypted_text.encode()).decode()
        except InvalidToken as error:
            raise InvalidToken("SECRET_KEY changed without SECRET_KEY_FALLBACKS") from error

    def get_public_key_credential_rp_entity(self) -> dict[str, str]:
        """The domain, not the host: passkeys work on every hub host of the site (WebAuthn §5.1.2)."""
        return {"id": settings.SSO_SITES.primary.domain, "name": settings.SSO_BRAND}

    def get_totp_issuer(self) -> str:
        return str(settings.SSO_BRAND)


def _authenticators() -> Any:
    from allauth.mfa.models import Authenticator

    return Authenticator.objects.filter(type__in=("totp", "recovery_codes"))


def _renewed(authenticator: Any, renew: sealing.Renew) -> list[str]:
    """The secret of an app, the seed of recovery codes, and codes that came from elsewhere."""
    data = authenticator.data
    for name in ("secret", "seed"):
        if name in data:
            data[name] = renew(data[name])
    if codes := data.get("migrated_codes"):
        data["migrated_codes"] = [renew(code) for code in codes]
    return ["data"]


sealing.kept("secrets of one-time codes", PURPOSE, _authenticators, _renewed)
