from django.apps import AppConfig


class AccountsConfig(AppConfig):
    name = "accounts"

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
