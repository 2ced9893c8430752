"""What an administrator sees of a person on one page: how they sign in, where they are, what happened. No secrets."""

from __future__ import annotations

from typing import TYPE_CHECKING

from allauth.mfa.models import Authenticator
from django.contrib.auth.hashers import identify_hasher
from sso_client.errors import StoreUnavailable

from accounts.account_pages import Place, place_of
from sso import sign_ins
from sso.audit.models import AuditEvent

if TYPE_CHECKING:
    from accounts.models import User

#: Rows of each list.
SHOWN = 10


class Summary:
    """Asked for by templates, each part when it is shown."""

    def __init__(self, person: User) -> None:
        self.person = person

    @property
    def password_kind(self) -> str:
        """The name of the hash, never anything of it; empty: no password."""
        if not self.person.has_usable_password():
            return ""
        try:
            return str(identify_hasher(self.person.password).algorithm)
        except ValueError:
            return "unknown"

    @property
    def factors(self) -> list[Authenticator]:
        return list(Authenticator.objects.filter(user=self.person).order_by("created_at"))

    @property
    def places(self) -> list[Place] | None:
        """Living sign-ins, None when Redis does not answer: unknown is not nobody."""
        try:
            return [place_of(one) for one in sign_ins.listing(str(self.person.pk), limit=SHOWN)]
        except StoreUnavailable:
            return None

    @property
    def events(self) -> list[AuditEvent]:
        return list(AuditEvent.objects.filter(subject_id=str(self.person.pk)).order_by("-seq")[:SHOWN])
