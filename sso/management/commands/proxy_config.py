from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from sso.edge.app_cookies import HUB_COOKIE
from sso.models import RelyingApp
from sso.proxy_config import TEMPLATES, Address, Files, chosen_origins, render


class Command(BaseCommand):
    help = "Print a reverse proxy's configuration for one registered app (docs/proxies/)."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("proxy", choices=list(TEMPLATES))
        parser.add_argument("--app", required=True, metavar="NAME", help="as registered")
        parser.add_argument("--origin", metavar="URL", help="only this one of the app's origins")
        parser.add_argument(
            "--edge", default="http://127.0.0.1:8000", metavar="URL", help="where the edge is"
        )
        parser.add_argument(
            "--upstream", default="http://127.0.0.1:9000", metavar="URL", help="where the app is"
        )
        parser.add_argument("--certificate", metavar="FILE", help="on the proxy's machine")
        parser.add_argument("--key", metavar="FILE", help="its key; HAProxy wants both in one file")
        parser.add_argument("--lua", metavar="FILE", help="HAProxy: where sso_auth.lua is")

    def handle(self, *args: Any, **options: Any) -> None:
        app = RelyingApp.objects.filter(name=options["app"]).first()
        if app is None:
            names = ", ".join(RelyingApp.objects.values_list("name", flat=True)) or "none"
            raise CommandError(f"No app is named {options['app']}. Registered: {names}.")
        try:
            self.stdout.write(_configuration(app, options))
        except ValueError as error:
            raise CommandError(f"{error}.") from None


def _configuration(app: RelyingApp, options: dict[str, Any]) -> str:
    origins = chosen_origins(tuple(app.origins), options["origin"])
    return render(
        options["proxy"],
        name=app.name,
        origins=origins,
        edge=Address.parse(options["edge"]),
        upstream=Address.parse(options["upstream"]),
        cookies=(settings.SSO_COOKIE_NAME, HUB_COOKIE),
        files=_files(options, origins[0].host),
    )


def _files(options: dict[str, Any], host: str) -> Files | None:
    """None when nothing was said of files."""
    if not any(options[name] for name in ("certificate", "key", "lua")):
        return None
    usual = Files.usual(options["proxy"], host)
    certificate = options["certificate"] or usual.certificate
    key = options["key"] or (certificate if options["certificate"] else usual.key)
    return Files(certificate, key, options["lua"] or usual.lua)
