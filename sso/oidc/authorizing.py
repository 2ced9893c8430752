"""``/oauth/authorize``: who asks, for whom, and what the sign-in must be like before a code is given.

OpenID Connect Core §3.1.2. Whoever is signed in and may use the app is sent back at once; there is no page that
asks for consent, because an administrator registered the app for these people.
"""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, NoReturn, cast
from urllib.parse import urlencode

from authlib.oauth2 import OAuth2Error
from django.core import signing

from accounts import step_up
from accounts.pages import see_other
from sso import access, audit, registry_mirror, sign_ins
from sso.errors import BadRequest
from sso.identities import identity_of
from sso.oidc import claims, hints, standing
from sso.oidc.addresses import with_parameters
from sso.oidc.clients import Asked
from sso.oidc.errors import AuthorizationRefused
from sso.oidc.provider import server

if TYPE_CHECKING:
    from django.http import HttpResponseBase, QueryDict

    from accounts.models import User
    from sso.registry import App
    from sso.requests import HubRequest
    from sso.sign_in_store import SignIn

PATH = "/oauth/authorize"
#: Says that the sign-in page was shown for this very request: it asks once. Ours, never the app's.
MARK = "sso_asked"
#: Seconds that somebody may take to sign in.
MARK_LIFE = 60 * 60
#: Seconds from signing in to being back here.
JUST = 5 * 60
#: Characters of a request, so that it fits into the address of the sign-in page and every proxy's buffers.
LONGEST = 1600
#: Characters that a server takes as one address.
LONGEST_LINE = 7000
#: An ID token, not counted above.
HINT = "id_token_hint"
#: Parameters that would mean more than what they look like (OpenID Connect Core §6, §7.2.1).
NOT_SPOKEN = {
    "request": "request_not_supported",
    "request_uri": "request_uri_not_supported",
    "registration": "registration_not_supported",
}
PROMPTS = frozenset({"none", "login", "consent", "select_account"})


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a request asks of the sign-in."""

    prompts: frozenset[str]
    max_age: int | None
    acrs: tuple[str, ...]
    #: Whom the app thinks it talks to: the ``sub`` of an ID token it was given.
    hint: str

    @property
    def silent(self) -> bool:
        return "none" in self.prompts

    @property
    def anew(self) -> bool:
        """Whether somebody must sign in just for this; ``max_age=0`` says the same (Core, errata 2)."""
        return bool(self.prompts & {"login", "select_account"}) or self.max_age == 0


@dataclass(frozen=True, slots=True)
class Asking:
    """One request of a known app, to be answered at one of its registered addresses."""

    request: HubRequest
    app: App
    redirect_uri: str

    @property
    def params(self) -> QueryDict:
        return self.request.GET

    def fail(self, error: str, description: str) -> NoReturn:
        raise OAuth2Error(description, error=error, redirect_uri=self.redirect_uri)


def answer(request: HubRequest) -> HttpResponseBase:
    """Back to the app with a code or an error, or first to the sign-in page.

    Raises ``AuthorizationRefused`` when it is not certain whom to answer, and ``StoreUnavailable``.
    """
    asking = _asking(request)
    try:
        return _answer(asking)
    except OAuth2Error as error:
        back = {"error": error.error, "error_description": error.get_error_description()}
        state = "".join(asking.params.getlist("state")[:1])
        return see_other(with_parameters(asking.redirect_uri, **back, state=state, iss=claims.issuer()))


def _asking(request: HubRequest) -> Asking:
    """RFC 6749 §4.1.2.1, RFC 9700 §4.11: with these two in doubt, nobody is sent anywhere."""
    clients, addresses = request.GET.getlist("client_id"), request.GET.getlist("redirect_uri")
    app = registry_mirror.current().app_of_client(clients[0]) if len(clients) == 1 else None
    if app is None:
        raise AuthorizationRefused("no such client_id")
    if len(addresses) != 1 or addresses[0] not in app.redirect_uris:
        raise AuthorizationRefused(f"{app.name}: redirect_uri is not registered")
    return Asking(request, app, addresses[0])


def _answer(asking: Asking) -> HttpResponseBase:
    wanted = _read(asking)
    asked = Asked(asking.request)
    grant = server().get_consent_grant(asked)
    sign_in = sign_ins.of_request(asking.request)
    user = asking.request.user
    if sign_in is None or not user.is_authenticated:
        return _to_sign_in(asking, wanted, None, claims.methods_of(wanted.acrs))
    lacking = _lacking(asking, wanted, sign_in, user)
    if lacking or _must_sign_in_again(asking, wanted, sign_in):
        return _to_sign_in(asking, wanted, sign_in, lacking)
    asked.sign_in = sign_in
    response: HttpResponseBase = server().create_authorization_response(asked, grant_user=user, grant=grant)
    return response


# -- what is asked


def _read(asking: Asking) -> Wanted:
    params = asking.params
    if twice := [name for name, values in params.lists() if len(values) > 1]:
        asking.fail("invalid_request", f"{len(twice)} of the parameters came more than once.")
    if (
        len(urlencode([(name, value) for name, value in params.items() if name not in (HINT, MARK)]))
        > LONGEST
    ):
        asking.fail("invalid_request", f"The request is longer than {LONGEST} characters.")
    for name, error in NOT_SPOKEN.items():
        if name in params:
            asking.fail(error, f"The parameter {name} is not supported.")
    if params.get("response_type") != "code":
        asking.fail("unsupported_response_type", "The only response_type is code.")
    if params.get("response_mode", "query") != "query":
        asking.fail("invalid_request", "The only response_mode is query.")
    return Wanted(
        _prompts(asking), _max_age(asking), tuple(params.get("acr_values", "").split()), _hint(asking)
    )


def _prompts(asking: Asking) -> frozenset[str]:
    prompts = frozenset(asking.params.get("prompt", "").split())
    if not prompts <= PROMPTS or ("none" in prompts and len(prompts) > 1):
        asking.fail("invalid_request", "prompt is none, or some of login, consent, select_account.")
    return prompts


def _max_age(asking: Asking) -> int | None:
    text = asking.params.get("max_age")
    if text is None:
        return None
    if not re.fullmatch(r"[0-9]{1,9}", text, re.ASCII):
        asking.fail("invalid_request", "max_age is a number of seconds.")
    return int(text)


def _hint(asking: Asking) -> str:
    """Whom the app means. An app that sends a hint means something by it: one that is not ours is an error."""
    token = asking.params.get(HINT)
    if not token:
        mark = _mark(asking.params)
        return mark.hint if mark else ""
    hint = hints.read(token)
    if hint is None or hint.client_id != asking.app.client_id:
        asking.fail("invalid_request", "id_token_hint is no ID token of this app.")
    return hint.sub


# -- whether the sign-in will do


def _must_sign_in_again(asking: Asking, wanted: Wanted, sign_in: SignIn) -> bool:
    if wanted.hint and wanted.hint != sign_in.user_id:
        return _not_the_one_meant(asking, sign_in)
    limits = [
        limit for limit in (wanted.max_age, _verdict(asking, sign_in).max_age or None) if limit is not None
    ]
    too_old = bool(limits) and time.time() - sign_in.auth_time > min(limits)
    return (wanted.anew or too_old) and not _just_signed_in(asking, sign_in)


def _not_the_one_meant(asking: Asking, sign_in: SignIn) -> bool:
    """True: they may sign in as that one. Who did sign in, and is another, is told to the app."""
    if _just_signed_in(asking, sign_in):
        asking.fail("login_required", "Somebody else signed in than the id_token_hint names.")
    return True


def _lacking(asking: Asking, wanted: Wanted, sign_in: SignIn, user: User) -> tuple[str, ...]:
    """The methods (RFC 8176) this sign-in must yet be made with. The app is told when it may not, or cannot, be."""
    verdict = _verdict(asking, sign_in)
    if verdict.kind == "refused" or not asking.app.admits(identity_of(user).groups):
        _refuse(asking, sign_in, verdict.rule_id)
    needed = (*verdict.amr, *claims.methods_of(wanted.acrs))
    lacking = tuple(method for method in needed if not access.satisfies(method, sign_in.amr))
    if lacking and (_just_signed_in(asking, sign_in) or not step_up.can_prove(user, lacking)):
        asking.fail("unmet_authentication_requirements", "The account has nothing to prove that with.")
    return lacking


def _verdict(asking: Asking, sign_in: SignIn) -> access.Verdict:
    """Entering an app is asking its rules for ``GET /``."""
    person = access.Person(
        identity_of(cast("User", asking.request.user)).groups, sign_in.amr, sign_in.auth_time
    )
    return standing.verdict(asking.app, person, asking.request.client_address, now=time.time())


def _refuse(asking: Asking, sign_in: SignIn, rule: str) -> NoReturn:
    audit.record_seldom(
        audit.Event.TOKEN_REFUSED,
        of=f"{sign_in.sid} {asking.app.client_id} {rule}",
        outcome=audit.REFUSED,
        app=asking.app.client_id,
        sid=sign_in.sid,
        subject=sign_in.user_id,
        grant="authorize",
        reason=rule,
    )
    asking.fail("access_denied", "The app is not for this person.")


# -- by way of the sign-in page


@dataclass(frozen=True, slots=True)
class Mark:
    """That the sign-in page was shown for one request: when, to which sign-in, for whom the app meant."""

    at: int
    sid: str
    hint: str


def _to_sign_in(
    asking: Asking, wanted: Wanted, sign_in: SignIn | None, methods: tuple[str, ...]
) -> HttpResponseBase:
    """To the page, with this very request to come back to; ``prompt=none`` allows no page.

    An ID token is too long for that: the mark says whom it was about.
    """
    if wanted.silent:
        asking.fail("login_required", "Nobody is signed in as was asked for.")
    marked = [int(time.time()), sign_in.sid if sign_in else "", wanted.hint, _digest(asking.params)]
    params = asking.params.copy()
    params.pop(HINT, None)
    params[MARK] = signing.dumps(marked, salt=MARK)
    demands = step_up.Wanted(0 if sign_in and not methods else None, methods).as_query()
    return see_other(f"/login/?{urlencode({'rd': f'{PATH}?{params.urlencode()}', **demands})}")


def _mark(params: QueryDict) -> Mark | None:
    """The mark of this very request; None when it has none of ours, or another's."""
    try:
        at, sid, hint, digest = signing.loads(params.get(MARK, ""), salt=MARK, max_age=MARK_LIFE)
    except (signing.BadSignature, ValueError, TypeError):
        return None
    return Mark(int(at), str(sid), str(hint)) if digest == _digest(params) else None


def _just_signed_in(asking: Asking, sign_in: SignIn) -> bool:
    """Whether this sign-in was made after, and because, this very request showed the sign-in page.

    Not for longer than :data:`JUST`: the address, with its mark, stays in the browser's history.
    """
    mark = _mark(asking.params)
    if mark is None or mark.sid == sign_in.sid or sign_in.auth_time < mark.at:
        return False
    return time.time() - sign_in.auth_time <= JUST


def _digest(params: QueryDict) -> str:
    """Of everything but the mark and what it stands for."""
    rest = sorted((name, value) for name, value in params.items() if name not in (MARK, HINT))
    return sha256(repr(rest).encode("utf-8", "surrogatepass")).hexdigest()[:32]


def as_get(params: QueryDict) -> str:
    """Where a POST of the same parameters goes on: a form from another site carries no ``Lax`` cookie."""
    query = params.urlencode()
    if len(query) > LONGEST_LINE:
        raise BadRequest("the request is too long")
    return f"{PATH}?{query}"
