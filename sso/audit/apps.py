from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class AuditConfig(AppConfig):
    name = "sso.audit"
    label = "sso_audit"
    verbose_name = _("Audit trail")

    def ready(self) -> None:
        from sso.audit import hooks  # noqa: F401 - connects
