"""Password rules that Django does not bring (NIST SP 800-63B-4 §3.1.1.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

if TYPE_CHECKING:
    from django.contrib.auth.base_user import AbstractBaseUser

#: Longer input is refused before any work is done with it (CVE-2013-1443).
MAX_LENGTH = 4096


class MaximumLengthValidator:
    """At most 4096 characters: far beyond any passphrase, far below a denial of service."""

    def validate(self, password: str, user: AbstractBaseUser | None = None) -> None:
        if len(password) > MAX_LENGTH:
            raise ValidationError(self.get_help_text(), code="password_too_long")

    def get_help_text(self) -> str:
        return str(_("Your password can have at most %(max)d characters.") % {"max": MAX_LENGTH})
