"""Has this person just proved that it is them? Every sensitive change asks, on pages and in the API.

Unlike django-allauth's own question, nobody is fresh for want of a way to prove it: who has neither password nor
second factor confirms by a mailed code (``accounts.mailed_confirmation``).
"""

from __future__ import annotations

import time

from allauth.account import app_settings
from allauth.account.internal.flows.login import get_authentication_records
from django.http import HttpRequest


def is_fresh(request: HttpRequest) -> bool:
    """Whether somebody is signed in here who confirmed within ``ACCOUNT_REAUTHENTICATION_TIMEOUT`` seconds."""
    if not request.user.is_authenticated:
        return False
    since = time.time() - app_settings.REAUTHENTICATION_TIMEOUT
    records = get_authentication_records(request, request.user)
    return any(record.get("reauthenticated") and record["at"] > since for record in records)
