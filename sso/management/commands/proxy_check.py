from __future__ import annotations

import json
import sys
from argparse import ArgumentParser
from contextlib import ExitStack
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from sso_client.errors import StoreUnavailable

from sso.models import RelyingApp
from sso.origins import Origin
from sso.proxy_check.attacks import run
from sso.proxy_check.door import Door
from sso.proxy_check.ground import Ground
from sso.proxy_check.remedies import guess
from sso.proxy_check.report import Report
from sso.proxy_check.trial import trial_session
from sso.proxy_config import TEMPLATES
from sso.registry import App


class Command(BaseCommand):
    help = (
        "Attack a protected address through its proxy and say whether the proxy can be bypassed. "
        "Asks that address alone (and --edge), at most 150 times each. Exit status 1 when something is found."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("url", help="an address of a registered app that wants somebody signed in")
        parser.add_argument("--json", action="store_true", help="print JSON")
        parser.add_argument("--edge", metavar="URL", help="also ask the edge itself, as a stranger")
        parser.add_argument(
            "--source", default="", metavar="ADDRESS", help="this machine's address to come from"
        )
        parser.add_argument(
            "--connect", default="", metavar="HOST[:PORT]", help="connect here, whatever DNS says"
        )
        parser.add_argument("--ca", metavar="FILE", help="an own certificate authority (PEM)")
        parser.add_argument("--proxy", choices=list(TEMPLATES), help="name its lines to change")
        parser.add_argument(
            "--edge-down", action="store_true", help="the edge is stopped on purpose: all must be refused"
        )
        parser.add_argument(
            "--no-session", action="store_true", help="lend no session of a made-up person to the check"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            report = _check(options)
        except ValueError as error:
            raise CommandError(f"{error}.") from None
        except OSError as error:
            raise CommandError(f"{options['url']}: no connection ({error}).") from None
        except StoreUnavailable as error:
            raise CommandError(f"{error}. Or leave the session out: --no-session.") from None
        self.stdout.write(json.dumps(report.as_json(), indent=2) if options["json"] else report.as_text())
        if not report.clean:
            sys.exit(1)


def _check(options: dict[str, Any]) -> Report:
    """Raises ``ValueError`` for an address that cannot be checked, ``OSError`` when nobody listens there."""
    origin, target = _split(options["url"])
    app = _app(origin)
    door = Door(str(origin), connect=options["connect"], ca=options["ca"], source=options["source"])
    ground = Ground(door, app, origin, target, settings.SSO_COOKIE_NAME)
    if ground.is_public(target):
        raise ValueError(f"{options['url']} is open to everybody by the app's rules. Name one that is not")
    edge = Door(options["edge"], ca=options["ca"], source=options["source"]) if options["edge"] else None
    report = Report(options["url"])
    with ExitStack() as stack:
        if not (options["no_session"] or options["edge_down"]):
            ground.value, ground.session = stack.enter_context(trial_session(app, _site(origin)))
        server = door.ask(target).header("Server")
        report.proxy = options["proxy"] or guess(server)
        run(ground, report, edge=edge, edge_down=options["edge_down"])
    return report


def _split(url: str) -> tuple[Origin, str]:
    parts = urlsplit(url)
    origin = Origin.parse(f"{parts.scheme}://{parts.netloc}")
    return origin, (parts.path or "/") + (f"?{parts.query}" if parts.query else "")


def _app(origin: Origin) -> App:
    found = next((app for app in RelyingApp.objects.all() if str(origin) in app.origins), None)
    if found is None:
        raise ValueError(f"No app is registered for {origin}")
    return found.as_app()


def _site(origin: Origin) -> str:
    site = settings.SSO_SITES.covering(origin)
    if site is None:
        raise ValueError(f"{origin} is on none of the sites: browsers would not send it the cookie")
    return str(site.domain)
