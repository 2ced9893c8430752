"""What an app may ask of a sign-in before it lets somebody in: how fresh it is, and how it was made.

``/login/?rd=…&max_age=300&amr=otp`` follows OpenID Connect Core §3.1.2.1 (``max_age``, seconds) and RFC 8176
(``amr``, separated by spaces).
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Protocol

from allauth.mfa.models import Authenticator
from django.http import QueryDict

from sso.access import satisfies
from sso.errors import BadRequest


class Made(Protocol):
    """A sign-in, or a shared session of one: when and how the person proved who they are."""

    @property
    def auth_time(self) -> int: ...

    @property
    def amr(self) -> tuple[str, ...]: ...


@dataclass(frozen=True, slots=True)
class Wanted:
    """``max_age`` None: any age. ``amr`` empty: made in any way."""

    max_age: int | None = None
    amr: tuple[str, ...] = ()

    def too_old(self, sign_in: Made) -> bool:
        return self.max_age is not None and time.time() - sign_in.auth_time > self.max_age

    def missing(self, sign_in: Made) -> tuple[str, ...]:
        """The methods asked for that this sign-in was not made with."""
        return tuple(method for method in self.amr if not satisfies(method, sign_in.amr))

    def met_by(self, sign_in: Made) -> bool:
        return not self.too_old(sign_in) and not self.missing(sign_in)

    def as_query(self) -> dict[str, str]:
        """The same demands for the next address."""
        age = {} if self.max_age is None else {"max_age": str(self.max_age)}
        return age | ({"amr": " ".join(self.amr)} if self.amr else {})


#: Kinds of factors (django-allauth's names) by which each method can be proved; ``mfa`` by either, after a password.
_PROVED_BY = {
    "mfa": {"totp", "webauthn"},
    "otp": {"totp", "recovery_codes"},
    "hwk": {"webauthn"},
    "pwd": {"password"},
}


def can_prove(user: Any, methods: Iterable[str]) -> bool:
    """Whether this account has what these methods take, so that signing in anew would help."""
    kinds = set(Authenticator.objects.filter(user=user).values_list("type", flat=True))
    kinds |= {"password"} if user.has_usable_password() else set()
    return all(not kinds.isdisjoint(_PROVED_BY.get(method, set())) for method in methods)


def read(params: QueryDict) -> Wanted:
    """Raises ``BadRequest`` for what cannot be read: a demand that is not understood is never waved through."""
    ages, methods = params.getlist("max_age"), params.getlist("amr")
    if len(ages) > 1 or len(methods) > 1:
        raise BadRequest("max_age or amr came twice")
    if ages and not re.fullmatch(r"[0-9]{1,9}", ages[0], re.ASCII):
        raise BadRequest("max_age is not a number of seconds")
    if methods and not re.fullmatch(r"[a-z]{1,20}( [a-z]{1,20}){0,9}", methods[0], re.ASCII):
        raise BadRequest("amr is not a list of methods")
    return Wanted(int(ages[0]) if ages else None, tuple(methods[0].split()) if methods else ())
