from django.apps import AppConfig


class ExposureConfig(AppConfig):
    """Who receives the shared cookie: hosts below its domain."""

    name = "sso.exposure"
    label = "sso_exposure"
    verbose_name = "Exposure"
    default_auto_field = "django.db.models.BigAutoField"
