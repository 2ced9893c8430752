"""Refusals that only the edge knows; the family is ``sso.errors``."""

from sso.errors import BadRequest, NotFound, SSOError


class UntrustedProxy(SSOError):
    """Forward auth asked for by somebody who is not one of our proxies."""

    code, status = "untrusted_proxy", 403
    public = "Only the proxies named in SSO_TRUSTED_PROXIES may ask this."


class UnknownApp(SSOError):
    """The address asked about belongs to no registered app, or to two."""

    code, status = "unknown_app", 403
    public = "This address belongs to no registered app."


class AccessRefused(SSOError):
    """The app's access rules say no, whoever signs in again as the same person."""

    code, status, public = "access_refused", 403, "You may not open this address."


class StepUpRequired(SSOError):
    """Signed in, but not strongly or not recently enough for this address."""

    code, status, public = "step_up_required", 401, "Please confirm who you are to open this address."


class TargetRefused(BadRequest):
    """What the proxy says the client asked for can be read in two ways, or not at all."""

    code = "bad_target"
    public = "The forwarded address could not be understood."

    def __init__(self, detail: str) -> None:
        """``detail`` goes to the proxy's administrator too: it names a header or a rule, never its value."""
        super().__init__(detail)
        self.public = f"The forwarded address could not be understood: {detail}."  # type: ignore[misc]


class InvalidClient(SSOError):
    """RFC 6749 §5.2: unknown app id or wrong secret; callers see one answer for both."""

    code, status, public = "invalid_client", 401, "The app id or its secret is wrong."

    def __init__(self) -> None:
        super().__init__(headers={"WWW-Authenticate": 'Basic realm="sso", charset="UTF-8"'})


class BodyTooLarge(SSOError):
    """More than an introspection request can need."""

    code, status, public = "body_too_large", 413, "The request body is too large."


class HeadersTooLarge(SSOError):
    """Request line and headers are more than any browser and proxy send together."""

    code, status, public = "headers_too_large", 431, "The request's headers are too large."


class FormWanted(SSOError):
    """RFC 7662 §2.1 asks for a form."""

    code, status = "unsupported_media_type", 415
    public = "Send the body as application/x-www-form-urlencoded."


class OnlyTheEdge(NotFound):
    """An address of the hub, asked of an edge that runs alone."""

    public = (
        "This is the edge: it answers GET /api/session, /api/authz/… and POST /api/introspect. Ask the hub."
    )
