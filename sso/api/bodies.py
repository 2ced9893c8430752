"""What goes in and out as JSON, as types: views read and write them, the OpenAPI document is made of them."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeVar

import msgspec
from django.core.exceptions import RequestDataTooBig
from django.http import HttpRequest, HttpResponse, UnreadablePostError
from sso_client.record import Identity

from sso.api.errors import BodyRefused
from sso.edge.errors import BodyTooLarge
from sso.errors import UnsupportedMediaType

T = TypeVar("T", bound=msgspec.Struct)
Seconds = Annotated[int, msgspec.Meta(ge=0, description="Unix seconds")]


class Credentials(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What somebody signs in with: `username` or `email`, one of the two, and the password exactly as typed."""

    password: str
    username: str | msgspec.UnsetType = msgspec.UNSET
    email: str | msgspec.UnsetType = msgspec.UNSET
    remember: Annotated[bool, msgspec.Meta(description="Stay signed in after the browser is closed.")] = False

    def __post_init__(self) -> None:
        if isinstance(self.username, str) == isinstance(self.email, str):
            raise ValueError("Send either username or email")

    def __repr__(self) -> str:
        return "Credentials(…)"  # tracebacks and logs never show a password

    @property
    def identifier(self) -> str:
        """Whichever of the two names was sent."""
        return self.username if isinstance(self.username, str) else str(self.email)


class Code(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The next step: a one-time code, a recovery code, or the code from a mail."""

    code: Annotated[str, msgspec.Meta(max_length=64)]

    def __repr__(self) -> str:
        return "Code(…)"


class PublicKeyCredential(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The next step: what a security key or passkey signed, as the browser's `toJSON()` gives it."""

    credential: dict[str, Any]


class PasskeyRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Sign in with a passkey: the answer holds what the browser must have signed."""

    passkey: Literal[True]
    remember: bool = False


class CodeRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Sign in with a code by mail: it is sent, if somebody has that address."""

    send_code_to: Annotated[str, msgspec.Meta(max_length=254)]
    remember: bool = False


Step = Credentials | Code | PublicKeyCredential | PasskeyRequest | CodeRequest
#: The steps of a sign-in, by the field that tells which one it is; without any it is the first.
STEPS: dict[str, type[Code | PublicKeyCredential | PasskeyRequest | CodeRequest]] = {
    "code": Code,
    "credential": PublicKeyCredential,
    "passkey": PasskeyRequest,
    "send_code_to": CodeRequest,
}


class Actor(msgspec.Struct, frozen=True):
    """The administrator who is signed in as somebody else, for support."""

    id: str
    username: str


class SessionBody(msgspec.Struct, frozen=True, kw_only=True):
    """Who is signed in here. The edge prepares these bytes; the type is for the document."""

    user: Identity
    sid: Annotated[str, msgspec.Meta(description="Public id of the sign-in; no secret.")]
    amr: Annotated[tuple[str, ...], msgspec.Meta(description="How: RFC 8176 names such as `pwd`.")]
    auth_time: Seconds
    expires_at: Annotated[int, msgspec.Meta(ge=0, description="The absolute end, Unix seconds.")]
    idle_expires_at: Annotated[
        int, msgspec.Meta(ge=0, description="The end if nothing more happens, Unix seconds.")
    ]
    act: Annotated[
        Actor | msgspec.UnsetType,
        msgspec.Meta(description="Only there when an administrator is signed in as this person."),
    ] = msgspec.UNSET


class CsrfBody(msgspec.Struct, frozen=True):
    """The token to send as `X-CSRF-Token` with every state change, until the next sign-in."""

    csrf_token: str


class SignInBody(msgspec.Struct, frozen=True, kw_only=True):
    """One of my sign-ins."""

    sid: str
    device: Annotated[str, msgspec.Meta(description="From the `User-Agent`: a hint, no proof.")]
    ip: str
    created: Seconds
    last_seen: Seconds
    expires_at: Seconds
    sites: tuple[str, ...]
    current: Annotated[bool, msgspec.Meta(description="Whether it is the one that asks.")]


class SignInsBody(msgspec.Struct, frozen=True):
    """My living sign-ins, newest first; of very many, the hundred that last longest."""

    sessions: tuple[SignInBody, ...]


class ErrorBody(msgspec.Struct, frozen=True):
    """The one shape of every error."""

    error: Annotated[str, msgspec.Meta(description="A code that does not change.", pattern="^[a-z_]+$")]
    message: Annotated[str, msgspec.Meta(description="For a person.")]


class StepBody(ErrorBody, frozen=True, kw_only=True, omit_defaults=True):
    """Not signed in yet: post again, to the same address, what `message` asks for, with the cookies you were given."""

    methods: Annotated[tuple[str, ...], msgspec.Meta(description="Which of them this person has.")]
    webauthn: Annotated[
        dict[str, Any] | None, msgspec.Meta(description="For `navigator.credentials.get`.")
    ] = None


class NobodyBody(ErrorBody, frozen=True):
    """Nobody is signed in; go to `login_url`, with the address to return to as `rd`."""

    login_url: str


class StatusBody(msgspec.Struct, frozen=True):
    """All is well."""

    status: str


def read_body(request: HttpRequest, shape: type[T]) -> T:
    """The JSON body as ``shape``, strictly.

    Raises:
        UnsupportedMediaType: it is not declared as JSON in UTF-8 (a page can send other types without a
            preflight, so they are never even looked at).
        BodyTooLarge: it exceeds ``DATA_UPLOAD_MAX_MEMORY_SIZE``.
        BodyRefused: it is not JSON, or has another shape.
    """
    charset = (request.content_params or {}).get("charset", "utf-8").lower()
    if request.content_type != "application/json" or charset != "utf-8":
        raise UnsupportedMediaType(f"content type {str(request.content_type)[:80]!r}")
    try:
        return msgspec.json.decode(request.body, type=shape)
    except RequestDataTooBig:
        raise BodyTooLarge from None
    except UnreadablePostError:
        raise BodyRefused("the body broke off.") from None
    except UnicodeDecodeError:
        raise BodyRefused("it is not UTF-8.") from None
    except (msgspec.DecodeError, RecursionError) as error:
        raise BodyRefused(f"{error}.") from None


def read_step(request: HttpRequest) -> Step:
    """Which step of a sign-in the body is, strictly. Raises what :func:`read_body` raises."""
    try:
        fields = set(msgspec.json.decode(request.body, type=dict[str, msgspec.Raw]))
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError, RequestDataTooBig, UnreadablePostError):
        fields = set()  # read_body says what is wrong
    shape: type[Step] = next((STEPS[name] for name in STEPS if name in fields), Credentials)
    return read_body(request, shape)


def json(content: msgspec.Struct, *, status: int = 200) -> HttpResponse:
    """``content`` as a JSON answer."""
    return HttpResponse(
        msgspec.json.encode(content), status=status, content_type="application/json; charset=utf-8"
    )
