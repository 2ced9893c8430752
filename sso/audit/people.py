"""Who did it, and to whom: ids and the names of that moment, as far as they are known without a detour."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import UUID

from django.contrib.auth import get_user_model
from django.db import DatabaseError, InterfaceError, OperationalError
from django.utils.functional import SimpleLazyObject

from sso.audit import context

if TYPE_CHECKING:
    from django.http import HttpRequest

    from accounts.models import User


class Who(NamedTuple):
    """Empty texts: nobody that we know."""

    id: str = ""
    name: str = ""


NOBODY = Who()


def of_event(
    request: HttpRequest | None, actor: User | str | None, subject: User | str | None
) -> tuple[Who, Who]:
    """Actor and subject of what happens now; the subject is the actor unless somebody else was meant."""
    here = _signed_in(request)
    about = _who(subject, here) if subject is not None else NOBODY
    if actor is not None:
        by = _who(actor, here)
    elif request is None:
        by = _who(context.operator(), NOBODY)
    else:
        by = _impersonator(request) or here
    return by, about if subject is not None else (here if request and actor is None else _person(by))


def _who(person: User | str, here: Who) -> Who:
    """A text is an id, or says itself who it is (``command:reconcile_sessions``, ``unknown:…``)."""
    if not isinstance(person, str):
        return Who(str(person.pk), person.get_username())
    if person == here.id:
        return here
    if person.startswith("command:"):
        return Who(person, person)
    return Who(person, _name_of(person))


def _person(who: Who) -> Who:
    """A command or the system itself is nobody that something happened to."""
    return NOBODY if who.id == "system" or who.id.startswith("command:") else who


def _signed_in(request: HttpRequest | None) -> Who:
    """The person signed in, if that is known already: asking now could wait for what is just failing."""
    if request is None:
        return NOBODY
    user: Any = request.__dict__.get("user")
    if isinstance(user, SimpleLazyObject):
        user = request.__dict__.get("_cached_user")
    if user is not None and user.is_authenticated:
        return Who(str(user.pk), user.get_username())
    sign_in = getattr(getattr(request, "session", None), "sign_in", None)
    return Who(sign_in.user_id, _name_of(sign_in.user_id)) if sign_in is not None else NOBODY


def _impersonator(request: HttpRequest) -> Who | None:
    """The administrator who is signed in as somebody else: what happens now is their doing."""
    sign_in = getattr(getattr(request, "session", None), "sign_in", None)
    actor: Any = getattr(request, "impersonator", None) or getattr(sign_in, "act", None)
    return Who(actor.id, actor.username) if actor is not None else None


def _name_of(user_id: str) -> str:
    """The username of an id of ours; empty when there is none, or no answer."""
    from sso.audit import keeping

    try:
        key = UUID(user_id)
    except ValueError:
        return ""
    if keeping.is_pausing():
        return ""
    try:
        found = get_user_model()._base_manager.filter(pk=key).values_list("username", flat=True).first()
    except (OperationalError, InterfaceError):
        keeping.pause()
        return ""
    except DatabaseError:  # the caller's own transaction is broken
        return ""
    return str(found or "")
