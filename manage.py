#!/usr/bin/env python
"""Django's command-line utility, for this project's settings."""

import os
import sys

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "authserver.settings")
    from django.core.management import execute_from_command_line

    from sso import audit

    with audit.acting(f"command:{sys.argv[1] if len(sys.argv) > 1 else 'help'}"):
        execute_from_command_line(sys.argv)
