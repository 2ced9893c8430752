from django.apps import AppConfig
from django.contrib.admin import apps as admin


class SSOConfig(AppConfig):
    name = "sso"
    verbose_name = "Single sign-on"
    default = True

    def ready(self) -> None:
        from sso import checks  # noqa: F401 - registers


class HubAdminConfig(admin.AdminConfig):
    """Django's admin, entered through the hub's own sign-in."""

    default_site = "sso.admin.site.HubAdminSite"
    default = False

    def ready(self) -> None:
        """Not from ``sso.admin`` itself: the site that things are registered with is made by importing that."""
        super().ready()
        from sso.admin import contents  # noqa: F401 - registers
