"""Changing one's e-mail address: the new one proves itself by a link, the old one hears of it and can undo it."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from allauth.account.models import EmailAddress
from django.core import signing
from django.db import transaction
from django.urls import reverse

from sso import audit, sign_ins

if TYPE_CHECKING:
    from accounts.models import User

log = logging.getLogger("sso.accounts")

#: How long the old address can undo the change.
UNDO = timedelta(days=7)
_SALT = "accounts.email_change.undo"


def undo_link(hub: str, context: Mapping[str, Any]) -> str:
    """Gives the address ``context["from_email"]`` back to ``context["user"]``."""
    key = signing.dumps([str(context["user"].pk), context["from_email"]], salt=_SALT)
    return f"{hub}{reverse('account_email_undo')}?{urlencode({'key': key})}"


def readable(key: str) -> tuple[User, str] | None:
    """Whose address is to be which again; None when the link is too old, made up, or has nothing to do."""
    from accounts.models import User

    try:
        user_id, email = signing.loads(key, salt=_SALT, max_age=UNDO)
    except signing.BadSignature:
        return None
    user = User.objects.filter(pk=user_id, is_active=True).exclude(email=email).first()
    taken = User.objects.filter(email=email).exists()
    return None if user is None or taken else (user, email)


def undo(user: User, email: str) -> int:
    """Give the old address back, and take from whoever changed it what they have: the password, every sign-in.

    A new password is set through the restored address. Second factors stay as they are. Returns how many
    sign-ins ended.
    """
    with transaction.atomic():
        EmailAddress.objects.filter(user=user).delete()
        EmailAddress.objects.filter(email=email, verified=True).delete()
        user.email = email
        user.set_unusable_password()
        user.save()
        EmailAddress.objects.create(user=user, email=email, primary=True, verified=True)
    log.warning("email_change_undone user=%s", user.pk)
    audit.record(audit.Event.EMAIL_CHANGE_UNDONE, subject=user)
    with audit.cause("email_undone"):
        return sign_ins.end_all(str(user.pk))
