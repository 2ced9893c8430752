"""What an administrator may end in one go, and what has to be typed before."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import msgspec
from django.conf import settings
from django.contrib.auth import get_user_model
from django.core import signing
from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

from sso import audit, mass_ending, registry_mirror, sign_in_search, sign_in_store, sign_ins
from sso.mass_ending import Order
from sso.sign_in_search import EVERYBODY, Scope
from sso.sign_in_store import SignIn

if TYPE_CHECKING:
    from django.http import HttpRequest

#: Seconds for which an order that was confirmed may be carried on.
LASTS = 60 * 60
_SALT = "sso.admin.session_ending"


@dataclass(frozen=True, slots=True)
class Target:
    """What would end. ``typed`` has to be typed to confirm it; empty: a button is enough."""

    kind: str
    value: str
    title: str
    #: How many there are about, also idle ones; ends within one request when there is no ``order``.
    count: int
    typed: str = ""
    order: Order | None = None
    sign_in: SignIn | None = None
    #: The sid of the browser that asks: it stays.
    spare: str = ""

    def is_confirmed_by(self, typed: str) -> bool:
        return typed.strip().lower() == self.typed.lower()

    def end(self) -> int:
        """Raises ``StoreUnavailable``."""
        if self.sign_in:
            return int(sign_ins.end(self.sign_in.sid, self.sign_in.user_id))
        return sign_ins.end_all(self.value, except_sid=self.spare)

    def record(self, request: HttpRequest) -> None:
        """In the audit trail before the first of them ends: it may be the last thing this browser does."""
        audit.record(
            audit.Event.ADMIN_ACT,
            request=request,
            subject="",
            what="end_sessions",
            object=f"{self.kind} {self.value}",
            count=self.count,
        )


def target(kind: str, value: str, *, spare: str) -> Target | None:
    """None when there is nothing of that name. ``spare`` is the sid that mass endings leave alone."""
    if kind == "one":
        return _one(value)
    if kind == "person":
        return _person(value, spare)
    scope = _scope(kind, value)
    if scope is None:
        return None
    order = mass_ending.order(scope, spare=spare)
    if scope.network:  # the index has those of other networks as well
        order = replace(order, total=len(sign_in_search.page(scope, size=sign_in_search.LOOK).sign_ins))
    titles = {
        "app": _("End the sessions of everybody who was at %s") % value,
        "address": _("End all sessions from %s") % (scope.network or value),
        "everybody": _("End everybody's sessions"),
    }
    # The hub's own name: whoever has two installations open types the one that is meant.
    typed = settings.SSO_SITES.primary.hub.host if kind == "everybody" else value
    return Target(kind, value, titles[kind], order.total, typed, order)


def _one(sid: str) -> Target | None:
    found = sign_in_search.sort_out([sid])[0].get(sid)
    return Target("one", sid, _("End this session"), 1, sign_in=found) if found else None


def _person(user_id: str, spare: str) -> Target | None:
    try:
        user = get_user_model().objects.filter(pk=user_id).first()
    except (ValidationError, ValueError):
        return None
    if user is None:
        return None
    title = _("End all sessions of %s") % user.get_username()
    return Target("person", str(user.pk), title, sign_in_store.count(str(user.pk)), spare=spare)


def _scope(kind: str, value: str) -> Scope | None:
    if kind == "everybody":
        return EVERYBODY if value == "-" else None
    if kind == "app":
        app = registry_mirror.current().app_named(value)
        return sign_in_search.at_app(app.client_id) if app else None
    try:
        return sign_in_search.from_address(value) if kind == "address" else None
    except ValueError:
        return None


# -- an order on its way through the browser


def sealed(kind: str, order: Order) -> str:
    """The order as a form field: signed, and good in one browser only, that of ``order.spare``."""
    return signing.dumps({"kind": kind, **asdict(order)}, salt=_SALT, compress=True)


def unsealed(text: str, *, by: str) -> tuple[str, Order]:
    """Raises ``BadSignature`` for what was not sealed here, for somebody else's, and for what is too old."""
    given: dict[str, Any] = signing.loads(text, salt=_SALT, max_age=LASTS)
    kind = str(given.pop("kind"))
    order = msgspec.convert(given, Order)
    if not by or order.spare != by:
        raise signing.BadSignature("another browser's")
    return kind, order
