"""Everything the admin consists of: importing it registers it."""

from sso.admin import apps, audit, backchannel, dashboard, doctor, exposure, sessions  # noqa: F401
