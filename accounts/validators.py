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
from zxcvbn import zxcvbn

from accounts import breached
from accounts.canonical import LONG_PASSWORD

if TYPE_CHECKING:
    from django.contrib.auth.base_user import AbstractBaseUser

#: Letters and digits that must be left of a password without the words that everybody would guess here.
LEFT_OVER = 8

#: Longer input is refused before any work is done with it (CVE-2013-1443).
MAX_LENGTH = 4096

#: Characters of a password that stands alone, and of one with a second factor beside it (§3.1.1.1).
ALONE, WITH_FACTOR = LONG_PASSWORD, 8
FACTORS = (Authenticator.Type.TOTP, Authenticator.Type.WEBAUTHN)


#: Guesses that a password must withstand when it stands alone, and beside a second factor (zxcvbn's 4 and 2).
GUESSES_ALONE, GUESSES_WITH_FACTOR = 10**10, 10**6
#: Characters that are judged at each end: what zxcvbn takes grows with the square of them, and worse.
LOOKED_AT = 28


def has_factor(user: AbstractBaseUser | None) -> bool:
    """Whether somebody who is there already signs in with two steps."""
    return user is not None and user.pk is not None and bool(is_mfa_enabled(user, FACTORS))


class MinimumLengthValidator:
    """At least 15 characters, or 8 for who has a second factor. Checked whenever a password is chosen."""

    def validate(self, password: str, user: AbstractBaseUser | None = None) -> None:
        least = self.least(user)
        if len(password) < least:
            message = ngettext("Use at least %(n)d character.", "Use at least %(n)d characters.", least)
            raise ValidationError(message % {"n": least}, code="password_too_short")

    def least(self, user: AbstractBaseUser | None) -> int:
        return WITH_FACTOR if has_factor(user) else ALONE

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


class GuessableValidator:
    """Length is not all: a repeated word, a row of keys or common words in a row are tried first by whoever guesses.

    zxcvbn estimates how many tries it takes. Four words that do not belong together take far more than is asked.
    """

    def validate(self, password: str, user: AbstractBaseUser | None = None) -> None:
        least = GUESSES_WITH_FACTOR if has_factor(user) else GUESSES_ALONE
        once = _once(password)
        if not any(_guesses(part) >= least for part in {once[:LOOKED_AT], once[-LOOKED_AT:]}):
            raise ValidationError(self.get_help_text(), code="password_guessable")

    def get_help_text(self) -> str:
        return str(
            _(
                "Your password cannot be easy to guess: no repetitions, no rows of keys, not common words alone."
                " A few words that do not belong together are good."
            )
        )


def _once(text: str) -> str:
    """What is said over and over, said once: ``abcabcab`` is ``abc`` (its shortest period, by Knuth, Morris, Pratt)."""
    borders, length = [0] * (len(text) + 1), 0
    for end in range(1, len(text)):
        while length and text[end] != text[length]:
            length = borders[length]
        length += text[end] == text[length]
        borders[end + 1] = length
    period = len(text) - borders[len(text)]
    return text[:period] if 2 * period <= len(text) else text


def _guesses(text: str) -> float:
    """Tries it takes. Without ``user_inputs``, which zxcvbn shares between threads: names are looked at elsewhere."""
    if len(text.lower()) != len(text):  # "İ": zxcvbn counts on both being as long
        text = text.lower()
    return float(zxcvbn(text)["guesses"]) if text else 0.0


class BreachedValidator:
    """What was in a breach that became public is tried everywhere. Where it is looked up is a setting."""

    def validate(self, password: str, user: AbstractBaseUser | None = None) -> None:
        if breached.is_known(password):
            message = _(
                "This password is known from a breach of another service. Choose one you have never used."
            )
            raise ValidationError(message, code="password_breached")

    def get_help_text(self) -> str:
        return str(_("Your password cannot be one that is known from a breach of another service."))


def _words(user: AbstractBaseUser | None) -> Iterator[str]:
    """Of four letters or more, case-folded."""
    sources = [str(settings.SSO_BRAND), *(site.domain for site in settings.SSO_SITES)]
    sources += [str(getattr(user, name, "") or "") for name in ("username", "email", "name")]
    for source in sources:
        yield from (word for word in re.split(r"[\W_]+", source.casefold()) if len(word) >= 4)
