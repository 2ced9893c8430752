from __future__ import annotations

import json
import sys
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from sso_client.errors import StoreUnavailable

from sso.doctor import report
from sso.registry import App
from sso.registry_publishing import from_database


class Command(BaseCommand):
    help = (
        "Try what apps and browsers depend on, and name the rule that drops a cookie or an answer. "
        "Asks the hubs and the registered origins. Exit status 1 when something is broken."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--app", metavar="NAME", help="look at this app alone")
        parser.add_argument("--json", action="store_true", help="print JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        made = report.make([_app(options["app"])] if options["app"] else None)
        if not options["app"]:
            self._keep(made)
        words = json.dumps(made.as_json(), indent=2) if options["json"] else made.as_text(self.style.SUCCESS)
        self.stdout.write(words)
        if made.broken:
            sys.exit(1)

    def _keep(self, made: report.Report) -> None:
        """For the dashboard; without Redis there is no dashboard either."""
        try:
            report.keep(made)
        except StoreUnavailable as error:
            self.stderr.write(f"Not kept for the dashboard: {error}")


def _app(name: str) -> App:
    app = from_database().app_named(name)
    if app is None:
        raise CommandError(f"No app is registered as {name}.")
    return app
