"""Password rules that Django does not bring (NIST SP 800-63B-4 §3.1.1.2)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from allauth.mfa.models import Authenticator
from allauth.mfa.utils import is_mfa_enabled
from django.conf import settings
from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

if TYPE_CHECKING:
    from django.contrib.auth.base_user import AbstractBaseUser

#: Letters and digits that must be left of a password without the words that everybody would guess here.
LEFT_OVER = 8

#: Longer input is refused before any work is done with it (CVE-2013-1443).
MAX_LENGTH = 4096

#: Characters of a password that stands alone, and of one with a second factor beside it (§3.1.1.1).
ALONE, WITH_FACTOR = 15, 8
_FACTORS = (Authenticator.Type.TOTP, Authenticator.Type.WEBAUTHN)


class MinimumLengthValidator:
    """At least 15 characters, or 8 for who has a second factor. Checked whenever a password is chosen."""

    def validate(self, password: str, user: AbstractBaseUser | None = None) -> None:
        least = self.least(user)
        if len(password) < least:
            message = ngettext("Use at least %(n)d character.", "Use at least %(n)d characters.", least)
            raise ValidationError(message % {"n": least}, code="password_too_short")

    def least(self, user: AbstractBaseUser | None) -> int:
        saved = user is not None and user.pk is not None
        return WITH_FACTOR if saved and is_mfa_enabled(user, _FACTORS) else ALONE

    def get_help_text(self) -> str:
        rule = _("At least %(alone)d characters, or %(with)d with two-step sign-in.")
        return str(rule % {"alone": ALONE, "with": WITH_FACTOR})


class MaximumLengthValidator:
    """At most 4096 characters: far beyond any passphrase, far below a denial of service."""

    def validate(self, password: str, user: AbstractBaseUser | None = None) -> None:
        if len(password) > MAX_LENGTH:
            raise ValidationError(self.get_help_text(), code="password_too_long")

    def get_help_text(self) -> str:
        return str(_("Your password can have at most %(max)d characters.") % {"max": MAX_LENGTH})


class ContextWordsValidator:
    """Words that anybody would try here first are worth nothing: the service, its sites, one's own names."""

    def validate(self, password: str, user: AbstractBaseUser | None = None) -> None:
        rest = password.casefold()
        for word in sorted(set(_words(user)), key=len, reverse=True):
            rest = rest.replace(word, "")
        if rest != password.casefold() and len(re.sub(r"[\W_]", "", rest)) < LEFT_OVER:
            raise ValidationError(self.get_help_text(), code="password_context")

    def get_help_text(self) -> str:
        return str(_("Your password cannot be made of your own name or the name of this service."))


def _words(user: AbstractBaseUser | None) -> Iterator[str]:
    """Of four letters or more, case-folded."""
    sources = [str(settings.SSO_BRAND), *(site.domain for site in settings.SSO_SITES)]
    sources += [str(getattr(user, name, "") or "") for name in ("username", "email", "name")]
    for source in sources:
        yield from (word for word in re.split(r"[\W_]+", source.casefold()) if len(word) >= 4)
