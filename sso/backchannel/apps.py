from django.apps import AppConfig


class BackchannelConfig(AppConfig):
    """Sign-out that reaches apps with sessions of their own."""

    name = "sso.backchannel"
    label = "sso_backchannel"
    verbose_name = "Sign-out messages"
    default_auto_field = "django.db.models.BigAutoField"
