from __future__ import annotations

import json
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError

from sso.images import LARGEST_OF_APP, Image
from sso.models import RelyingApp
from sso.registration import register


class Command(BaseCommand):
    help = "Register a relying app and print its id and secret, once."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("name", help="small letters, digits and hyphens")
        parser.add_argument(
            "--origin", action="append", default=[], metavar="URL", help="https://app.example.com"
        )
        parser.add_argument("--return-address", action="append", default=[], metavar="URL")
        parser.add_argument("--group", action="append", default=[], help="only its members may use the app")
        parser.add_argument("--title", default="", help="what people see")
        parser.add_argument("--launch-url", default="", help="where My apps leads")
        parser.add_argument("--logo", type=Path, metavar="FILE", help="SVG, PNG or WebP, 64 KiB at most")
        parser.add_argument(
            "--colour", default="", metavar="#RRGGBB", help="of its tile and its sign-in page"
        )
        oidc = parser.add_argument_group("OpenID Connect")
        oidc.add_argument("--redirect-uri", action="append", default=[], metavar="URL", help="exact")
        oidc.add_argument(
            "--post-logout-redirect-uri", action="append", default=[], metavar="URL", help="exact"
        )
        oidc.add_argument(
            "--backchannel-logout-uri", default="", metavar="URL", help="told when a sign-in ends"
        )
        oidc.add_argument("--backchannel-logout-session-required", action="store_true")
        oidc.add_argument(
            "--token-auth-method",
            choices=["client_secret_basic", "client_secret_post", "none"],
            default="client_secret_basic",
            help="none: an app without a secret, in the browser or on a device",
        )
        parser.add_argument("--json", action="store_true", help="print JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        if RelyingApp.objects.filter(name=options["name"]).exists():
            raise CommandError(f"An app named {options['name']} exists already. Choose another name.")
        app = RelyingApp(
            name=options["name"],
            title=options["title"],
            origins=options["origin"],
            return_addresses=options["return_address"],
            groups=options["group"],
            launch_url=options["launch_url"],
            colour=options["colour"],
            logo=_picture(options["logo"]),
            redirect_uris=options["redirect_uri"],
            post_logout_redirect_uris=options["post_logout_redirect_uri"],
            backchannel_logout_uri=options["backchannel_logout_uri"],
            backchannel_logout_session_required=options["backchannel_logout_session_required"],
            token_auth_method=options["token_auth_method"],
        )
        try:
            secret = register(app)
        except ValidationError as error:
            raise CommandError("\n".join(error.messages)) from None
        if options["json"]:
            shown = {
                "name": app.name,
                "client_id": app.client_id,
                "client_secret": secret,
                "origins": app.origins,
            }
            self.stdout.write(json.dumps(shown))
            return
        self.stdout.write(f"Registered {app.name} for {', '.join(app.origins or app.redirect_uris)}.")
        self.stdout.write(f"client id:     {app.client_id}")
        if not secret:
            return
        self.stdout.write(f"client secret: {secret}")
        self.stdout.write("The secret is shown this once. Keep it where only the app can read it.")


def _picture(path: Path | None) -> bytes:
    """Raises ``CommandError`` for what is no picture we serve."""
    try:
        return Image.read(path, largest=LARGEST_OF_APP).data if path else b""
    except ValueError as error:
        raise CommandError(f"--logo {path}: {error}.") from None
