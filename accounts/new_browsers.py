"""A word by mail when somebody signs in from where they never did.

Known is a kind of browser on a kind of system ("Firefox on Linux") in one network (an IPv4 address, the /64 of an
IPv6 one), for :data:`KNOWN` after it was last used. No cookie tells browsers apart. The first sign-in of
all is nobody's news.
"""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import TYPE_CHECKING

from allauth.account.adapter import get_adapter
from django.db import DatabaseError, transaction
from django.utils import timezone
from django.utils.crypto import salted_hmac

from accounts.records import KnownBrowser
from accounts.throttle import network_of
from sso.api.devices import device_name

if TYPE_CHECKING:
    from accounts.models import User
    from sso.requests import HubRequest

log = logging.getLogger("sso.accounts")

KNOWN = timedelta(days=90)
#: Kept of one person; the oldest go.
MOST = 50


def notice(request: HubRequest, user: User) -> bool:
    """After a sign-in, which stands whatever happens here. Returns whether it was news."""
    try:
        with transaction.atomic():
            news = _is_news(request, user)
            if news:
                get_adapter(request).send_notification_mail("accounts/email/new_browser", user)
    except DatabaseError as error:
        log.warning("new_browser_not_noted user=%s: %s", user.pk, type(error).__name__)
        return False
    return news


def _is_news(request: HubRequest, user: User) -> bool:
    digest, now = _digest(request, user), timezone.now()
    mine = KnownBrowser.objects.filter(user=user)
    if mine.filter(digest=digest, last_seen__gt=now - KNOWN).update(last_seen=now):
        return False
    first = not mine.exists()
    KnownBrowser.objects.update_or_create(user=user, digest=digest, defaults={"last_seen": now})
    old = list(mine.order_by("-last_seen").values_list("pk", flat=True)[MOST:])
    mine.filter(pk__in=old).delete()
    return not first


def _digest(request: HubRequest, user: User) -> str:
    """Keyed, so that whoever reads the database cannot tell where people were by trying."""
    device = device_name(request.META.get("HTTP_USER_AGENT", ""))
    parts = "\n".join((str(user.pk), network_of(request.client_address), device))
    return salted_hmac("accounts.new_browsers", parts, algorithm="sha256").hexdigest()
