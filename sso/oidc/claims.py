"""What ID tokens and userinfo say of somebody: the one translation from a sign-in and a person to claims."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from allauth.account.models import EmailAddress
from django.conf import settings

from sso.access import satisfies
from sso.identities import identity_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from accounts.models import User
    from sso.sign_in_store import SignIn

#: What may be asked for. Anything else is left out of what is granted (RFC 6749 §3.3).
SCOPES = ("openid", "profile", "email", "groups")
#: How strong a sign-in is: one kind of proof, or two (NIST SP 800-63B). Strongest last.
ACRS = ("aal1", "aal2")
SUPPORTED = (
    "iss", "sub", "aud", "exp", "iat", "auth_time", "nonce", "amr", "acr", "sid", "at_hash",
    "name", "preferred_username", "email", "email_verified", "groups", "act",
)  # fmt: skip


def issuer() -> str:
    """The origin of the primary hub, from settings: what a ``Host`` header says never counts."""
    return str(settings.SSO_SITES.primary.hub)


def granted(scope: str | None) -> str:
    """The scopes of a request that there are, each once, in the order of :data:`SCOPES`."""
    asked = (scope or "").split()
    return " ".join(name for name in SCOPES if name in asked)


def acr_of(amr: Sequence[str]) -> str:
    return ACRS[1] if satisfies("mfa", amr) else ACRS[0]


def methods_of(acrs: Iterable[str]) -> tuple[str, ...]:
    """What a sign-in must be made with to reach one of these classes; unknown ones ask for nothing."""
    known = [name for name in acrs if name in ACRS]
    return ("mfa",) if known and ACRS[0] not in known else ()


def of_person(user: User, scope: str) -> dict[str, Any]:
    """``sub`` and what the scopes open. Names and addresses change and get reused; ``sub`` never."""
    identity = identity_of(user)
    claims: dict[str, Any] = {"sub": identity.id}
    scopes = scope.split()
    if "profile" in scopes:
        claims |= {"name": identity.name or identity.username, "preferred_username": identity.username}
    if "email" in scopes and identity.email:
        claims |= {"email": identity.email, "email_verified": _is_verified(user)}
    if "groups" in scopes:
        claims["groups"] = list(identity.groups)
    return claims


def of_sign_in(sign_in: SignIn) -> dict[str, Any]:
    """When and how somebody signed in, and which sign-in it is (Back-Channel Logout §2.1: ``sid``)."""
    return {
        "sid": sign_in.sid,
        "auth_time": sign_in.auth_time,
        "amr": list(sign_in.amr),
        "acr": acr_of(sign_in.amr),
    }


def of_actor(sign_in: SignIn, scope: str) -> dict[str, Any]:
    """``act`` (RFC 8693 §4.1) when an administrator is at the keyboard; their name where names may be told."""
    if sign_in.act is None:
        return {}
    actor = {"sub": sign_in.act.id}
    if "profile" in scope.split():
        actor["preferred_username"] = sign_in.act.username
    return {"act": actor}


def _is_verified(user: User) -> bool:
    addresses = EmailAddress.objects.filter(user=user, email__iexact=user.email, verified=True)
    return bool(addresses.exists())
