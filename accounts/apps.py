from django.apps import AppConfig


class AccountsConfig(AppConfig):
    name = "accounts"

    def ready(self) -> None:
        from accounts import confirmations, recovery, registration, signals  # noqa: F401 - connect
