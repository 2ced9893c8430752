"""The whole auth server in one WSGI application: the edge answers the hot endpoints, Django the rest."""

from __future__ import annotations

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "authserver.settings")
django_application = get_wsgi_application()

from accounts.mail.sender import sender  # noqa: E402 - after Django's settings are read
from authserver.edge import in_front_of  # noqa: E402

sender.serve()

application = in_front_of(django_application)
