from __future__ import annotations

import json
import time
from argparse import ArgumentParser
from ipaddress import ip_address
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from accounts.models import User
from accounts.people import find_user
from sso.access import Address, Person, Verdict, decide
from sso.edge.directory import Directory
from sso.edge.errors import TargetRefused
from sso.edge.targets import Target, read_url
from sso.identities import identity_of
from sso.registry import App
from sso.registry_publishing import from_database

#: Stands for nobody on the command line; no username looks like it.
NOBODY = "-"


class Command(BaseCommand):
    help = "Say who gets what at an address behind forward auth, by which rule, and why."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("user", help="username, e-mail address or id; - for nobody signed in")
        parser.add_argument("url", help="the full address, such as https://wiki.example.com/admin/")
        parser.add_argument("--method", default="GET")
        parser.add_argument("--address", type=_address, help="the client's IP address; unknown if left out")
        parser.add_argument("--amr", default="pwd", help="how they signed in: pwd,otp (default: pwd)")
        parser.add_argument("--age", type=int, default=0, help="seconds since they signed in (default: 0)")
        parser.add_argument("--json", action="store_true")

    def handle(self, *args: Any, **options: Any) -> None:
        user = None if options["user"] == NOBODY else find_user(options["user"])
        target = _target(options["method"].upper(), options["url"])
        app = _app(target)
        now = time.time()
        verdict = decide(
            app.access,
            app_groups=app.groups,
            path=target.path,
            method=target.method,
            address=options["address"],
            person=_person(user, options["amr"], now - options["age"]),
            now=now,
        )
        facts = _facts(user, target, app, verdict)
        if options["json"]:
            self.stdout.write(json.dumps(facts, ensure_ascii=False))
        else:
            self.stdout.write("\n".join(f"{name:8} {_words(value)}" for name, value in facts.items()))


def _address(text: str) -> Address:
    return ip_address(text)


def _target(method: str, url: str) -> Target:
    try:
        return read_url(method, url)
    except TargetRefused as refused:
        raise CommandError(f"{url} is answered with 400 to everybody: {refused}.") from None


def _app(target: Target) -> App:
    """The app that the edge would find, from what the database says now."""
    app = Directory(from_database(), settings.SSO_SITES).by_origin.get(str(target.origin))
    if app is None or settings.SSO_SITES.covering(target.origin) is None:
        raise CommandError(
            f"{target.origin} is refused to everybody: it belongs to no registered app of a site."
        )
    return app


def _person(user: User | None, amr: str, auth_time: float) -> Person | None:
    """Somebody disabled cannot be signed in, so counts as nobody."""
    if user is None or not user.is_active:
        return None
    return Person(identity_of(user).groups, tuple(filter(None, amr.split(","))), auth_time)


def _facts(user: User | None, target: Target, app: App, verdict: Verdict) -> dict[str, Any]:
    disabled = user is not None and not user.is_active
    return {
        "user": user.username if user else None,
        "request": f"{target.method} {target.address}",
        "app": app.name,
        "path": target.path,
        "verdict": verdict.kind,
        "allowed": verdict.allows,
        "rule": verdict.rule_id,
        "reason": ("This account is disabled, so nobody is signed in. " if disabled else "") + verdict.reason,
    }


def _words(value: str | bool | None) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return value or "nobody"
