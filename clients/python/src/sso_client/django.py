"""The signed-in person for Django apps: ``request.sso`` is a ``Session`` or ``None``.

    MIDDLEWARE = [..., "sso_client.django.SSOMiddleware"]
    SSO_CLIENT = {"HUB": "https://auth.example.com", "REDIS_URL": "redis://…"}

    @signed_in_required
    def diary(request): ...

``request.sso`` asks when it is first looked at, so a page that does not look works while the store is down. One that
does gets 503: an outage is never taken for "nobody". Under asyncio write ``await request.asso()``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields
from functools import cache, cached_property, partial, wraps
from typing import TYPE_CHECKING, Any, TypeVar, cast, overload

from asgiref.sync import iscoroutinefunction, markcoroutinefunction, sync_to_async
from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.auth.hashers import make_password
from django.contrib.auth.models import AnonymousUser
from django.core.exceptions import FieldDoesNotExist, ImproperlyConfigured
from django.core.signals import setting_changed
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.utils.cache import patch_vary_headers
from django.utils.functional import SimpleLazyObject
from django.utils.module_loading import import_string
from django.views.decorators.csrf import csrf_exempt

from sso_client.aio import AsyncSessionReader
from sso_client.cookies import SESSION_COOKIE
from sso_client.errors import StoreUnavailable
from sso_client.login import Answer, Asked, Dress, Gate, Refused, wire_target
from sso_client.reader import SessionReader

if TYPE_CHECKING:
    from django.contrib.auth.base_user import AbstractBaseUser

    from sso_client.backchannel import Receiver
    from sso_client.record import Identity, Session

    LocalUser = Callable[[Identity], AbstractBaseUser | None]

View = Callable[..., Any]
V = TypeVar("V", bound=View)
Handler = Callable[[HttpRequest], Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Conf:
    """``settings.SSO_CLIENT``: every key, its type and its default."""

    #: Origin of the auth server, ``https://auth.example.com``.
    HUB: str
    #: The Redis the auth server writes to.
    REDIS_URL: str
    #: Origin people see this app at; needed behind a proxy that does not pass on scheme and host.
    APP_ORIGIN: str | None = None
    #: As ``SSO_REDIS_PREFIX`` and ``SSO_COOKIE_NAME`` of the auth server.
    PREFIX: str = "sso:"
    COOKIE: str = SESSION_COOKIE
    #: Longest wait for Redis, seconds.
    TIMEOUT: float = 0.5
    #: ``True``: ``request.user`` is a local user made by :func:`local_user`; or the dotted path of a function of yours.
    LOCAL_USER: bool | str = False
    #: Dotted path of a function that puts an ``Answer`` (403, 503) in the app's design.
    DRESS: str | None = None


@cache
def conf() -> Conf:
    """Read ``settings.SSO_CLIENT``; raises ``ImproperlyConfigured`` naming the key that is wrong."""
    given = dict(getattr(settings, "SSO_CLIENT", {}))
    if unknown := given.keys() - {field.name for field in fields(Conf)}:
        raise ImproperlyConfigured(f"SSO_CLIENT has unknown keys: {', '.join(sorted(unknown))}.")
    if missing := {"HUB", "REDIS_URL"} - given.keys():
        raise ImproperlyConfigured(f"SSO_CLIENT lacks: {', '.join(sorted(missing))}.")
    return Conf(**given)


@cache
def gate() -> Gate:
    """The gate of this app."""
    this = conf()
    dress: Dress | None = import_string(this.DRESS) if this.DRESS else None
    try:
        return Gate(this.HUB, app_origin=this.APP_ORIGIN, dress=dress)
    except ValueError as error:
        raise ImproperlyConfigured(f"SSO_CLIENT: {error}") from error


@cache
def reader() -> SessionReader:
    """The one reader of this process, for threads."""
    this = conf()
    return SessionReader(this.REDIS_URL, prefix=this.PREFIX, cookie=this.COOKIE, timeout=this.TIMEOUT)


@cache
def async_reader() -> AsyncSessionReader:
    """The one reader of this process, for its event loop."""
    this = conf()
    return AsyncSessionReader(this.REDIS_URL, prefix=this.PREFIX, cookie=this.COOKIE, timeout=this.TIMEOUT)


def _forget(*, setting: str, **_: object) -> None:
    """Let ``override_settings(SSO_CLIENT=…)`` work in an app's tests."""
    if setting == "SSO_CLIENT":
        if reader.cache_info().currsize:
            reader().close()
        for each in (conf, gate, reader, async_reader, _local_user):
            each.cache_clear()


setting_changed.connect(_forget)


class _Looked:
    """What the middleware adds to a request."""

    META: dict[str, Any]
    #: Set when the store gave no answer to this request.
    sso_unavailable = False

    @cached_property
    def sso(self) -> Session | None:
        """Who is signed in. Raises ``StoreUnavailable`` when nobody can know."""
        try:
            return reader().read(self._cookies)
        except StoreUnavailable:
            self.sso_unavailable = True
            raise

    async def asso(self) -> Session | None:
        """``sso`` for async views: waits without holding up the event loop."""
        if "sso" not in self.__dict__:
            try:
                self.__dict__["sso"] = await async_reader().read(self._cookies)
            except StoreUnavailable:
                self.sso_unavailable = True
                raise
        return cast("Session | None", self.__dict__["sso"])

    @property
    def _cookies(self) -> str:
        return str(self.META.get("HTTP_COOKIE", ""))


class SSORequest(_Looked, HttpRequest):
    """A request that went through the middleware, for annotations: ``def view(request: SSORequest)``."""


@cache
def _request_class(plain: Any) -> type[SSORequest]:
    """The request's class with ``sso``: a property cannot be put on one object, and a lazy one is never ``None``."""
    return cast("type[SSORequest]", type(plain.__name__, (_Looked, plain), {}))


class SSOMiddleware:
    """Gives every request ``sso`` and ``asso()``, and ``user`` when ``LOCAL_USER`` is set.

    Place it after ``SecurityMiddleware`` and, with ``LOCAL_USER``, after ``AuthenticationMiddleware``: then
    ``request.user`` is who is signed in at the hub and nobody else, on every request anew.
    """

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Handler) -> None:
        self.get_response = get_response
        self.is_async = iscoroutinefunction(get_response)
        if self.is_async:
            markcoroutinefunction(self)
        self.gate, self.local = gate(), _local_user()

    def __call__(self, request: HttpRequest) -> Any:
        request.__class__ = _request_class(cast("Any", type(request)))
        if self.local is not None:
            attach_local_user(cast("SSORequest", request), self.local)
        if self.is_async:
            return self._await(request)
        return self._finish(request, self.get_response(request))

    async def _await(self, request: HttpRequest) -> HttpResponseBase:
        return self._finish(request, await self.get_response(request))

    def _finish(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        if getattr(request, "sso_unavailable", False) and response.status_code == 500:
            # Somebody further in looked and was not prepared for an outage: it is no error of theirs.
            return respond(self.gate.try_again(asked(request)))
        if "sso" in request.__dict__:
            patch_vary_headers(response, ("Cookie",))
        return response

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        if isinstance(exception, Refused):
            return respond(exception.answer)
        if isinstance(exception, StoreUnavailable):
            return respond(self.gate.try_again(asked(request)))
        return None


def signed_in(request: HttpRequest, *, groups: Iterable[str] = ()) -> Session:
    """The session of this request; of a member of one of ``groups``, when some are named.

    Raises ``Refused`` (nobody, or not one of them) or ``StoreUnavailable``. Let both go: the middleware answers.
    """
    return gate().check(cast("SSORequest", request).sso, asked(request), groups)


async def asigned_in(request: HttpRequest, *, groups: Iterable[str] = ()) -> Session:
    """:func:`signed_in` for async views."""
    return gate().check(await cast("SSORequest", request).asso(), asked(request), groups)


@overload
def signed_in_required(view: V) -> V: ...
@overload
def signed_in_required(*, groups: Iterable[str]) -> Callable[[V], V]: ...
def signed_in_required(view: View | None = None, *, groups: Iterable[str] = ()) -> Any:
    """Let in who is signed in; of ``groups``, members only. For sync and async views.

    Others: a person looking at a page is sent to the hub and comes back to the full address; a script gets 401 (403)
    as JSON; 503 when the store does not answer. What the view returns is kept out of every cache, unless it says
    otherwise, so that the back button shows nothing after sign-out.
    """
    if view is None:
        return partial(_guard, groups=tuple(groups))
    return _guard(view, groups=())


def _guard(view: View, *, groups: tuple[str, ...]) -> View:
    @wraps(view)
    def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        try:
            signed_in(request, groups=groups)
        except (Refused, StoreUnavailable) as refused:
            return _refusal(request, refused)
        return _private(view(request, *args, **kwargs))

    @wraps(view)
    async def aguarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        try:
            await asigned_in(request, groups=groups)
        except (Refused, StoreUnavailable) as refused:
            return _refusal(request, refused)
        return _private(await view(request, *args, **kwargs))

    return aguarded if iscoroutinefunction(view) else guarded


def _refusal(request: HttpRequest, refused: Refused | StoreUnavailable) -> HttpResponse:
    return respond(refused.answer if isinstance(refused, Refused) else gate().try_again(asked(request)))


def _private(response: HttpResponseBase) -> HttpResponseBase:
    if "Cache-Control" not in response.headers:
        response.headers["Cache-Control"] = "no-store"
    return response


def asked(request: HttpRequest) -> Asked:
    """What a refusal needs to know of a Django request."""
    return Asked(
        method=request.method or "GET",
        origin=gate().app_origin or f"{request.scheme}://{request.get_host()}",
        target=wire_target(request.path.encode(), request.META.get("QUERY_STRING", "").encode("latin-1")),
        mode=request.headers.get("Sec-Fetch-Mode", ""),
        dest=request.headers.get("Sec-Fetch-Dest", ""),
        accept=request.headers.get("Accept", ""),
        requested_with=request.headers.get("X-Requested-With", ""),
    )


def respond(answer: Answer) -> HttpResponse:
    """A finished answer as Django's response."""
    return HttpResponse(answer.body, status=answer.status, headers=dict(answer.headers))


def backchannel_logout(receiver: Receiver) -> View:
    """The view for the app's logout URL: ``path("signed-out", backchannel_logout(receiver))``.

    ``receiver`` is a :class:`sso_client.backchannel.Receiver`. Needs ``sso-client[backchannel]``.
    """
    from sso_client.backchannel import LONGEST_BODY, headers

    def told(request: HttpRequest) -> HttpResponse:
        body = request.read(LONGEST_BODY + 1)
        status, answer = receiver.respond(
            request.method or "", request.content_type or "", body if len(body) <= LONGEST_BODY else b""
        )
        return HttpResponse(answer, status=status, headers=headers(status))

    return cast("View", csrf_exempt(told))


@cache
def _local_user() -> LocalUser | None:
    wanted = conf().LOCAL_USER
    if wanted is True:
        return local_user
    return cast("LocalUser", import_string(wanted)) if wanted else None


def local_user(identity: Identity) -> AbstractBaseUser:
    """Find or make the local user of an identity, and bring its address and name up to date.

    Keyed by ``identity.id``, kept in the model's ``USERNAME_FIELD``: usernames and addresses change hands, ids do
    not. Two first requests at once make one user. Raises ``ImproperlyConfigured`` for a model that has no room for
    the id: name a function of your own in ``LOCAL_USER`` then.
    """
    model = get_user_model()
    if model.USERNAME_FIELD == "email":
        raise ImproperlyConfigured(
            "Users are keyed by email here, and addresses change hands. Let SSO_CLIENT['LOCAL_USER'] name a "
            "function that takes an Identity and returns your user by identity.id."
        )
    facts = _facts(model, identity)
    key = {model.USERNAME_FIELD: identity.id}
    manager = cast("Any", model)._default_manager
    user, _ = manager.get_or_create(**key, defaults={**facts, "password": make_password(None)})
    if changed := [name for name, value in facts.items() if getattr(user, name) != value]:
        for name in changed:
            setattr(user, name, facts[name])
        user.save(update_fields=changed)
    return cast("AbstractBaseUser", user)


def _facts(model: type[AbstractBaseUser], identity: Identity) -> dict[str, str]:
    """What the model has room for. Whole names are not split: nobody can know where."""
    offered = {
        "email": identity.email,
        "name": identity.name,
        "full_name": identity.name,
        "first_name": identity.name,
    }
    return {name: value[:room] for name, value in offered.items() if (room := _room(model, name))}


def _room(model: type[AbstractBaseUser], name: str) -> int:
    """The length of a text field, 0 for a model that has none of that name."""
    try:
        field = model._meta.get_field(name)
    except FieldDoesNotExist:
        return 0
    return getattr(field, "max_length", None) or 10_000


def attach_local_user(request: SSORequest, find: LocalUser) -> None:
    """Make ``request.user`` (and ``await request.auser()``) the local user, found when it is first looked at."""

    def user() -> AbstractBaseUser | AnonymousUser:
        return _usable(find(request.sso.user)) if request.sso else AnonymousUser()

    async def auser() -> AbstractBaseUser | AnonymousUser:
        await request.asso()
        return await sync_to_async(user)()

    request.user = cast("Any", SimpleLazyObject(user))
    request.auser = cast("Any", auser)


def _usable(user: AbstractBaseUser | None) -> AbstractBaseUser | AnonymousUser:
    """A user who was deactivated in this app alone is nobody here."""
    return user if user is not None and getattr(user, "is_active", True) else AnonymousUser()


__all__ = [
    "SSOMiddleware",
    "SSORequest",
    "asigned_in",
    "attach_local_user",
    "local_user",
    "signed_in",
    "signed_in_required",
]
