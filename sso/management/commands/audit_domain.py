from __future__ import annotations

import json
import sys
from argparse import ArgumentParser
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from sso import audit
from sso.exposure import auditing, models, runs, sources
from sso.exposure.dns_asking import Address, NoResolver, system_servers
from sso.exposure.planning import auditable, domain_of
from sso.exposure.report_text import as_json, as_text
from sso.exposure.values import Report
from sso.origins import is_host_name
from sso.sites import Site

#: Exit status 2: nothing can be said. 1 is for findings.
NO_ANSWER = 2


class Command(BaseCommand):
    help = (
        "List the hosts below a cookie domain, who of them receives the shared cookie, and what is wrong with them: "
        "aliases to third parties, dangling names, wildcards, plain http, missing HSTS, hosts not in the registry. "
        "Exit status 1 when something is found, 2 when nothing can be said."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--site", metavar="DOMAIN", help="one cookie domain; otherwise all of SSO_SITES")
        parser.add_argument(
            "--zone-file", metavar="FILE", help="the domain's zone, as BIND writes it; - reads stdin"
        )
        parser.add_argument("--names", metavar="FILE", help="names to ask about, one a line; - reads stdin")
        parser.add_argument("--resolver", metavar="ADDRESS[:PORT]", help="ask this one, not the system's")
        parser.add_argument(
            "--own", metavar="DOMAIN", action="append", default=[], help="no third party either"
        )
        parser.add_argument(
            "--no-guess", action="store_true", help="do not ask about names that many domains have"
        )
        parser.add_argument("--no-http", action="store_true", help="ask DNS alone")
        parser.add_argument(
            "--seconds", type=int, default=600, metavar="N", help="take no longer (default: 600)"
        )
        parser.add_argument("--json", action="store_true", help="print JSON")
        parser.add_argument("--save", action="store_true", help="keep the result for the admin pages")
        parser.add_argument("--ca", metavar="FILE", help="an own certificate authority (PEM)")
        parser.add_argument(
            "--laboratory",
            metavar="HTTP,HTTPS,DNS",
            help="ports to ask, also on this machine's own addresses",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            reports = [self._audit(site, options) for site in _sites(options)]
        except (ValueError, NoResolver) as error:
            raise CommandError(f"{error}.".replace("..", "."), returncode=NO_ANSWER) from None
        except OSError as error:
            raise CommandError(f"{error}.", returncode=NO_ANSWER) from None
        if options["json"]:
            self.stdout.write(
                json.dumps([as_json(report) for report in reports], indent=2, ensure_ascii=False)
            )
        else:
            self.stdout.write("\n\n".join(as_text(report) for report in reports))
        if any(report.bad for report in reports):
            sys.exit(1)

    def _audit(self, site: Site, options: dict[str, Any]) -> Report:
        """Raises ``ValueError``, ``NoResolver`` and ``OSError``: all say what to do."""
        try:
            report = auditing.run(_plan(site, options), self._progress)
        except TimeoutError:
            raise NoResolver(f"{site.domain}: not done in {options['seconds']} s. Raise --seconds") from None
        if options["save"]:
            models.save(report)
        with audit.acting("command:audit_domain"):
            runs.note(report)
        return report

    def _progress(self, step: str, done: int, of: int) -> None:
        """On a terminal only: a log of a scheduled run needs no counting."""
        if self.stderr.isatty():
            self.stderr.write(f"\r{step} {done}/{of}" + ("\n" if done == of else ""), ending="")


def _sites(options: dict[str, Any]) -> list[Site]:
    wanted = options["site"]
    if wanted is None:
        sites = auditable()
        if not sites:
            raise ValueError("every site is below .localhost, which DNS does not know. Set SSO_SITES")
    else:
        sites = [site for site in settings.SSO_SITES if site.domain == wanted.lower()]
        if not sites:
            known = ", ".join(site.domain for site in settings.SSO_SITES)
            raise ValueError(f"{wanted} is no site. Name one of: {known}")
    if len(sites) > 1 and (options["zone_file"] or options["names"]):
        raise ValueError("a file belongs to one site. Name it: --site DOMAIN")
    return sites


def _plan(site: Site, options: dict[str, Any]) -> auditing.Plan:
    zone = (
        sources.read_zone(_text(options["zone_file"]), site.domain)
        if options["zone_file"]
        else sources.Zone()
    )
    listed = sources.read_list(_text(options["names"]), site.domain) if options["names"] else ()
    laboratory = options["laboratory"]
    return auditing.Plan(
        domain=domain_of(site, own=[_domain(name) for name in options["own"]]),
        servers=[_server(options["resolver"])] if options["resolver"] else system_servers(),
        zone=zone,
        listed=tuple(listed),
        guess=not options["no_guess"],
        http=not options["no_http"],
        seconds=options["seconds"],
        ports=_ports(laboratory) if laboratory else (80, 443, 53),
        local=bool(laboratory),
        authority=options["ca"],
    )


def _text(path: str) -> str:
    try:
        return sys.stdin.read() if path == "-" else Path(path).read_text()
    except UnicodeDecodeError:
        raise ValueError(f"{path} is not text in UTF-8") from None


def _domain(name: str) -> str:
    if not is_host_name(name):
        raise ValueError(f"--own {name}: not a domain name. Write one such as example.net")
    return name


def _server(text: str) -> Address:
    """``9.9.9.9``, ``127.0.0.1:5353``, ``[::1]:5353``."""
    host, _, port = text.rpartition(":") if "." in text or text.startswith("[") else (text, "", "")
    host, port = (host, port) if host else (text, "53")
    address = _ip(host.strip("[]"))
    if address is None or not port.isdecimal() or not 0 < int(port[:6]) < 65536:
        raise ValueError(f"--resolver {text}: not an address. Write 9.9.9.9, 127.0.0.1:5353 or [::1]:5353")
    return address, int(port)


def _ports(text: str) -> tuple[int, int, int]:
    parts = [int(part) for part in text.split(",") if part.isdecimal() and 0 < int(part[:6]) < 65536]
    if len(parts) != 3:
        raise ValueError("--laboratory wants three ports, such as 8080,8443,5353")
    return parts[0], parts[1], parts[2]


def _ip(text: str) -> str | None:
    try:
        return str(ip_address(text))
    except ValueError:
        return None
