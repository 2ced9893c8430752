from django.db import migrations

from sso.audit import triggers


class Migration(migrations.Migration):

    dependencies = [("sso_audit", "0001_initial")]

    operations = [migrations.RunPython(triggers.install, triggers.remove)]
