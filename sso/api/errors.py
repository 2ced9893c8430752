"""Refusals that only the API knows; the family is ``sso.errors``, ``sso.error_responses`` answers them."""

from __future__ import annotations

from django.http import HttpRequest

from sso.errors import BadRequest, SSOError, TryAgain

#: Addresses outside ``/api/`` that programs ask, too.
PROBES = ("/healthz", "/readyz")
#: The same for OpenID Connect: what is published, and what is asked with a secret or a token.
PUBLISHED = ("/.well-known/openid-configuration", "/.well-known/jwks.json")
OIDC = (*PUBLISHED, "/oauth/token", "/oauth/userinfo", "/oauth/revoke")


#: Where somebody is signed in, from which addresses: the hub's own pages' business, no app's.
ACCOUNT = "/api/sessions"


def is_the_accounts(request: HttpRequest) -> bool:
    """Whether only pages of the hub may ask and read."""
    return request.path == ACCOUNT or request.path.startswith(ACCOUNT + "/")


def is_for_machines(request: HttpRequest) -> bool:
    """Whether the answer is JSON whatever happens."""
    return request.path.startswith("/api/") or request.path in (*PROBES, *OIDC)


class BodyRefused(BadRequest):
    """The JSON body has not the shape that is documented."""

    def __init__(self, why: str) -> None:
        """``why`` names a field or a type, never what was sent as its value."""
        super().__init__(why)
        self.public = f"The body could not be understood: {why}"  # type: ignore[misc]


class FlagRefused(BadRequest):
    """A parameter of the query that is yes or no was neither."""

    def __init__(self, name: str) -> None:
        super().__init__(f"{name} is neither 0 nor 1")
        self.public = f"{name} is 0 or 1."  # type: ignore[misc]


class ConfirmationRequired(SSOError):
    """A sensitive change by a sign-in that is not fresh: the page of the hub can ask, the API cannot."""

    code, status = "confirmation_required", 403
    public = "Confirm at /account/reauthenticate/ that it is you, or sign in again. Then try again."


class NotReady(TryAgain):
    """Something this process stands on does not answer."""

    def __init__(self, *missing: str) -> None:
        super().__init__(f"not ready: {', '.join(missing)}")
        self.public = f"Not ready. No answer from: {', '.join(missing)}."  # type: ignore[misc]


# -- not refusals but the next step of a sign-in: the body says what to send (``bodies.StepBody``)


class MfaRequired(SSOError):
    """The password was right; a second factor is due."""

    code, status = "mfa_required", 401
    public = "Send a code as code, or what the security key signed as credential."


class PasskeyRequired(SSOError):
    """A challenge was made for a passkey."""

    code, status = "passkey_required", 401
    public = "Have the browser sign with a passkey, and send that as credential."


class CodeRequired(SSOError):
    """A code was mailed, if somebody has that address."""

    code, status, public = "code_required", 401, "Send the code from the mail as code."


class VerificationRequired(SSOError):
    """The address must be confirmed before the first sign-in."""

    code, status = "verification_required", 401
    public = "Open the link in the mail that was sent to you, then sign in again."
