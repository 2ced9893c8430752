"""``<prefix>doctor``: by it an app's own doctor sees that it has the right Redis and the right prefix.

An app's account may read it beside the sessions (``manage.py redis_acl``); nothing in it is secret.
"""

from __future__ import annotations

import time

import msgspec
from django.conf import settings

from sso.redis import answering, keys


def publish() -> None:
    """Write what an app has to have right. Raises ``StoreUnavailable``."""
    told = {
        "v": 1,
        "cookie": settings.SSO_COOKIE_NAME,
        "sites": {site.domain: str(site.hub) for site in settings.SSO_SITES},
        "written": int(time.time()),
    }
    with answering() as redis:
        redis.set(keys().beacon, msgspec.json.encode(told))
