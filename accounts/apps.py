from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class AccountsConfig(AppConfig):
    name = "accounts"
    verbose_name = _("Accounts")

    def ready(self) -> None:
        """Receivers connect, checks register."""
        from accounts import (  # noqa: F401
            auditing,
            confirmations,
            recovery,
            registration,
            signals,
            template_checks,
        )
