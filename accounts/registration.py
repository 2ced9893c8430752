"""Becoming somebody: a link to one's own mailbox, asked for or sent by an administrator, makes one account.

Nothing is made before the mailbox has proved itself: nobody can take an address, or prepare a password, for
somebody else. A link is single-use and expires; only its digest is kept.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from secrets import token_urlsafe
from typing import TYPE_CHECKING, Any

from allauth.account.models import EmailAddress
from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group
from django.db import transaction
from django.utils import timezone

from accounts.canonical import canonical
from accounts.mail import mailing, outbox
from accounts.mail.outbox import Letter
from accounts.records import Invitation
from sso import audit
from sso.errors import NotFound
from sso.keys import fingerprint

if TYPE_CHECKING:
    from accounts.models import User

REGISTRATION = "registration"
#: Life of a link that somebody asked for, and of one that an administrator sent.
ASKED, INVITED = timedelta(hours=24), timedelta(days=7)


def is_open() -> bool:
    """Whether everybody may register."""
    return bool(settings.SSO_REGISTRATION == "open")


def is_possible() -> bool:
    """Whether invited people may."""
    return bool(settings.SSO_REGISTRATION != "off")


def ask(email: str) -> None:
    """Somebody wants an account; whether the address has one already is looked up when the mail is written."""
    mailing.write(REGISTRATION, email, {}, lasts=ASKED)


@outbox.prepared(REGISTRATION)
def registration_letters(asked: Letter) -> list[Letter]:
    """The link, or word that there is an account already."""
    context: dict[str, Any]
    if is_taken(asked.to):
        template = "account/email/account_already_exists"
        context = {"user": get_user_model().objects.by_identifier(asked.to)}
    else:
        template = "accounts/email/registration"
        context = {"url": invite(asked.to, hub=asked.hub, lasts=ASKED)}
    return [outbox.letter(template, asked.to, context, hub=asked.hub, language=asked.language)]


def is_taken(email: str) -> bool:
    from accounts.models import User

    email = canonical(email)
    verified = EmailAddress.objects.filter(email=email, verified=True)
    return bool(User.objects.filter(email=email).exists() or verified.exists())


def invite(
    email: str, *, hub: str, groups: Iterable[str] = (), lasts: timedelta = INVITED, invited: bool = False
) -> str:
    """Make a link for this mailbox. It is nowhere but in what is returned."""
    secret = token_urlsafe(32)
    Invitation.objects.filter(expires__lte=timezone.now()).delete()
    Invitation.objects.create(
        secret_hash=fingerprint(secret),
        email=canonical(email),
        groups=list(groups),
        invited=invited,
        expires=timezone.now() + lasts,
    )
    return mailing.link(hub, "registration_finish", key=secret)


def find(secret: str) -> Invitation:
    """Raises ``NotFound`` for a link that is unknown, spent or too old, or when there is no registration."""
    living = Invitation.objects.filter(secret_hash=fingerprint(secret), expires__gt=timezone.now())
    found = living.first() if is_possible() else None
    if found is None or not (found.invited or is_open()):
        raise NotFound("no such invitation")
    return found


@transaction.atomic
def accept(invitation: Invitation, user: User, password: str) -> None:
    """Make ``user`` (not saved yet) and spend every link to that mailbox.

    Raises ``NotFound`` when the link was spent meanwhile, ``IntegrityError`` when the name or address was taken.
    """
    if not Invitation.objects.filter(pk=invitation.pk).delete()[0]:
        raise NotFound("the invitation was used at the same moment")
    Invitation.objects.filter(email=invitation.email).delete()
    user.email = invitation.email
    user.set_password(password)
    user.save()
    user.groups.set([Group.objects.get_or_create(name=name)[0] for name in invitation.groups])
    mode = "invitation" if invitation.invited else "open"
    audit.record(audit.Event.REGISTERED, subject=user, mode=mode)
    EmailAddress.objects.filter(email=user.email).delete()
    EmailAddress.objects.create(user=user, email=user.email, primary=True, verified=True)
