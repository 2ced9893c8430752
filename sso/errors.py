"""Errors: one family, one public answer each, the detail kept for the log.

Values raise them, views answer them. Knows nothing of Django, so the edge uses the same family.
"""

from typing import ClassVar


class SSOError(Exception):
    """Base of every error this service raises on purpose.

    ``code`` and ``public`` go to the caller as ``{"error": code, "message": public}`` with ``status``;
    ``str(error)`` goes to the log and may say more.
    """

    code: ClassVar[str] = "sso_error"
    status: ClassVar[int] = 400
    public: ClassVar[str] = "The request could not be completed."

    def __init__(self, detail: str = "", *, headers: dict[str, str] | None = None) -> None:
        super().__init__(detail or self.public)
        #: Response headers that belong to this answer, such as ``Retry-After``.
        self.headers: dict[str, str] = dict(headers or {})
        #: What the JSON answer has beside ``error`` and ``message``, such as ``login_url``.
        self.fields: dict[str, str] = {}


class BadRequest(SSOError):
    """The request contradicts itself or cannot be read."""

    code, status, public = "bad_request", 400, "The request could not be understood."


class ForwardedHeadersRefused(BadRequest):
    """A trusted proxy sent ``X-Forwarded-*`` headers that are malformed or disagree: none counts."""


class ReturnAddressRefused(SSOError):
    """The address to go back to belongs to no registered app."""

    code, status = "return_address_refused", 400
    public = "The address to return to does not belong to a registered app."


class NotSignedIn(SSOError):
    """Nobody is signed in here. Not for failures: see ``TryAgain``."""

    code, status, public = "not_signed_in", 401, "Nobody is signed in here."


class BadCredentials(SSOError):
    """Unknown, disabled or wrong: the caller sees one answer for all three."""

    code, status, public = "bad_credentials", 401, "The name or the password is wrong."


class SessionEnded(SSOError):
    """The sign-in ended while the request was on its way."""

    code, status, public = "session_ended", 401, "This sign-in has ended. Please sign in again."


class OriginRefused(SSOError):
    """A state change asked for by a page of an origin that is not registered."""

    code, status, public = "origin_refused", 403, "This page may not ask for that."


class CsrfFailed(SSOError):
    """The CSRF token is missing or wrong."""

    code, status = "csrf_failed", 403
    public = "The CSRF token is missing or wrong. Fetch /api/csrf and send it as X-CSRF-Token."


class Forbidden(SSOError):
    """Signed in, but this is not theirs to do."""

    code, status, public = "forbidden", 403, "You may not do that."


class NotFound(SSOError):
    """No such thing, or none that the caller may know of."""

    code, status, public = "not_found", 404, "There is nothing here."


class MethodNotAllowed(SSOError):
    """The address exists, the method does not."""

    code, status, public = "method_not_allowed", 405, "This address does not answer that method."

    def __init__(self, *allowed: str) -> None:
        """``allowed`` are the methods that do exist; RFC 9110 §15.5.6 wants them named."""
        super().__init__(headers={"Allow": ", ".join(allowed)} if allowed else None)


class UnsupportedMediaType(SSOError):
    """The API reads ``application/json`` and nothing else."""

    code, status = "unsupported_media_type", 415
    public = "Send the body as application/json."


class TooManyAttempts(SSOError):
    """Sign-in is slowed down for this account or this address."""

    code, status, public = "too_many_attempts", 429, "Too many attempts. Please wait and try again."

    def __init__(self, detail: str = "", *, retry_after: int = 1) -> None:
        """``retry_after`` is in whole seconds, at least one."""
        super().__init__(detail, headers={"Retry-After": str(max(1, retry_after))})


class TryAgain(SSOError):
    """A store gave no answer, so nothing can be said about who is signed in."""

    code, status = "try_again", 503
    public = "The service cannot answer at the moment. Please try again."

    def __init__(self, detail: str = "", *, retry_after: int = 1) -> None:
        """``retry_after`` is in whole seconds, at least one."""
        super().__init__(detail, headers={"Retry-After": str(max(1, retry_after))})


class InternalError(SSOError):
    """A fault of ours; the log has the whole of it."""

    code, status, public = "internal_error", 500, "Something went wrong here. It has been logged."
