"""What somebody looks for on the page of sessions, and what is shown of each that was found."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING
from uuid import UUID

from django.contrib.auth import get_user_model
from django.db.models import Q
from django.http import QueryDict
from django.urls import reverse

from accounts import words
from sso import registry_mirror, sign_in_search, sign_in_store
from sso.sign_in_search import EVERYBODY, Found, Scope

if TYPE_CHECKING:
    from django.contrib.auth.base_user import AbstractBaseUser

    from sso.registry import App, Registry
    from sso.sign_in_store import SignIn

#: People whose sessions are shown when a name fits several.
MOST_PEOPLE = 20
#: Characters of a sid that are shown: enough to find it in the audit trail, too few to name it to the API.
SHOWN = 8
_SID = re.compile(r"[A-Za-z0-9_-]{22}", re.ASCII)
_OFFSETS = re.compile(r"\d{1,9}(\.\d{1,9})?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Search:
    """``text`` is a name, an e-mail address, a user's id, an IP address or a whole sid; ``app`` a name."""

    text: str = ""
    app: str = ""
    begin: tuple[int, ...] = ()

    @classmethod
    def read(cls, params: QueryDict) -> Search:
        after = params.get("after", "")
        begin = tuple(map(int, after.split("."))) if _OFFSETS.fullmatch(after) else ()
        return cls(_plain(params.get("q", ""))[:150], _plain(params.get("app", ""))[:60], begin)


def _plain(text: str) -> str:
    """Without control characters: at a NUL some databases stop reading, others refuse."""
    return "".join(c for c in text if c.isprintable()).strip()


@dataclass(frozen=True, slots=True)
class Result:
    """``target`` is what could be ended as a whole, as ``sso.admin.session_ending`` takes it; empty: nothing."""

    sign_ins: tuple[SignIn, ...]
    further: str = ""
    target: tuple[str, str] = ("", "")
    #: How many people were meant, when it was people: None otherwise.
    people: int | None = None


def find(search: Search) -> Result:
    """Raises ``StoreUnavailable``."""
    app = registry_mirror.current().app_named(search.app) if search.app else None
    if search.app and app is None:
        return Result(())
    if not search.text:
        return _at_app(app, search) if app else _listed(EVERYBODY, search, ("everybody", "-"))
    try:
        scope = sign_in_search.from_address(search.text)
    except ValueError:
        return _of_one(search.text) or _of_people(search.text, app)
    target = ("", "") if app else ("address", search.text)
    return _listed(replace(scope, client_id=app.client_id if app else ""), search, target)


def _at_app(app: App, search: Search) -> Result:
    return _listed(sign_in_search.at_app(app.client_id), search, ("app", app.name))


def _listed(scope: Scope, search: Search, target: tuple[str, str]) -> Result:
    found: Found = sign_in_search.page(scope, search.begin)
    return Result(found.sign_ins, ".".join(map(str, found.further or ())), target)


def _of_one(text: str) -> Result | None:
    """The sign-in of this sid, if it lives."""
    if not _SID.fullmatch(text) or sign_in_store.get(text) is None:
        return None
    return Result(tuple(sign_in_search.sort_out([text])[0].values()))


def _of_people(text: str, app: App | None) -> Result:
    people = [str(pk) for pk in _people(text)]
    found = sign_in_search.of_people(people[:MOST_PEOPLE])
    if app:
        found = [one for one in found if app.client_id in sign_in_search.seen_at(one)]
    target = ("person", people[0]) if len(people) == 1 and not app else ("", "")
    return Result(tuple(found), target=target, people=len(people))


def _people(text: str) -> Sequence[object]:
    """Whoever is called exactly so; else those whose names have it in them, one more than are shown."""
    people = get_user_model().objects.order_by("username").values_list("pk", flat=True)
    exactly = Q(username__iexact=text) | Q(email__iexact=text)
    with suppress(ValueError):
        exactly |= Q(pk=UUID(text))
    found = list(people.filter(exactly)[:2])
    inside = Q(username__icontains=text) | Q(email__icontains=text) | Q(name__icontains=text)
    return found or list(people.filter(inside)[: MOST_PEOPLE + 1])


# -- what is shown


@dataclass(frozen=True, slots=True)
class Row:
    """One sign-in for people. Times are Unix seconds; ``sid`` is there only for whoever may end it."""

    short: str
    sid: str
    who: str
    person: str
    how: str
    device: str
    ip: str
    created: int
    last_seen: int
    ends: int
    remember: bool
    sites: tuple[str, ...]
    apps: tuple[str, ...]
    #: The administrator who signed in as them.
    by: str
    here: bool


def rows(found: Iterable[SignIn], *, here: str, may_end: bool, may_open: bool) -> list[Row]:
    """``may_open``: the page of a person. One query for all names."""
    found = list(found)
    people = get_user_model().objects.in_bulk({one.user_id for one in found})
    named = {str(pk): user for pk, user in people.items()}
    registry = registry_mirror.current()
    return [_row(one, named.get(one.user_id), registry, here, may_end, may_open) for one in found]


def _row(
    one: SignIn, user: AbstractBaseUser | None, registry: Registry, here: str, may_end: bool, may_open: bool
) -> Row:
    page = reverse("admin:accounts_user_change", args=[one.user_id]) if user and may_open else ""
    return Row(
        short=one.sid[:SHOWN],
        sid=one.sid if may_end else "",
        who=user.get_username() if user else "",
        person=page,
        how=how(one.amr),
        device=words.device(one.user_agent),
        ip=one.ip,
        created=one.created,
        last_seen=one.last_seen,
        ends=one.exp,
        remember=one.remember,
        sites=one.sites,
        apps=tuple(_title(client_id, registry) for client_id in sign_in_search.seen_at(one)),
        by=one.act.username if one.act else "",
        here=one.sid == here,
    )


def how(amr: Iterable[str]) -> str:
    """``pwd + otp``: as apps are told it (RFC 8176)."""
    return " + ".join(amr)


def _title(client_id: str, registry: Registry) -> str:
    app = registry.app_of_client(client_id)
    return app.title if app else client_id
