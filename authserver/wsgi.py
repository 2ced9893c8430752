"""The whole auth server in one WSGI application: the edge answers the hot endpoints, Django the rest."""

from __future__ import annotations

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "authserver.settings")
django_application = get_wsgi_application()

from accounts.mail.sender import letters_waiting, sender  # noqa: E402 - after Django's settings are read
from authserver.edge import in_front_of  # noqa: E402
from sso.backchannel.sender import logouts_waiting  # noqa: E402
from sso.backchannel.sender import sender as logout_sender  # noqa: E402
from sso.metrics.page import at_reading  # noqa: E402

sender.serve()
logout_sender.serve()
at_reading("sso_mail_waiting", "Letters that wait to be sent.", letters_waiting)
at_reading("sso_logouts_waiting", "Sign-out messages that wait to reach an app.", logouts_waiting)

application = in_front_of(django_application)
