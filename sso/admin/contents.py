"""Everything the admin consists of: importing it registers it."""

from sso.admin import apps, audit, dashboard, doctor, exposure, sessions  # noqa: F401
