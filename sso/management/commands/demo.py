"""Everything at once on this machine: the auth server, three apps on two domains that trust it, people, and a Redis."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from argparse import SUPPRESS, ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError

from authserver.embedded_valkey import EmbeddedValkeyFailed, ensure_running
from sso.management.commands._demo_data import PEOPLE, demo_password, make_apps, make_people
from sso.management.commands._processes import DemoFailed, Family, Program, interrupted_by, taken

PROJECT = Path(__file__).resolve().parents[3]
EXAMPLES = PROJECT / "deploy" / "examples"
DOMAIN, FURTHER = "example.localhost", "other.localhost"
#: The demo listens here and nowhere else: its password stands on a screen.
LOOPBACK = "127.0.0.1"
#: Program → its domain, in the order of ports. The notes are the wiki once more, on the further domain.
PLACES = {"auth": DOMAIN, "wiki": DOMAIN, "shop": DOMAIN, "notes": FURTHER}
#: Variables that say where an installation lives: none of them may lead the demo into a real one.
FOREIGN = ("SECRET_KEY", "SECRET_KEY_FALLBACKS", "DATABASE_URL", "SSO_REDIS_URL", "SSO_OLDER_COOKIE_DOMAINS")


class Command(BaseCommand):
    help = "Run the auth server and three example apps on this machine. DEMO_PORT moves their four ports."
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        # Run by the demo itself, in the demo's environment.
        parser.add_argument("--prepare", action="store_true", help=SUPPRESS)

    def handle(self, *, prepare: bool, **options: Any) -> None:
        if prepare:
            return self.prepare()
        first = first_port()
        folder = Path(settings.SSO_DATA_DIR) / "demo"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            with interrupted_by(signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                self.run(folder, first)
        except KeyboardInterrupt:
            self.stdout.write("\nStopped.")
        except (DemoFailed, EmbeddedValkeyFailed) as error:
            raise CommandError(str(error)) from None
        return None

    def run(self, folder: Path, first: int) -> None:
        self.say("Starting Redis …")
        env = demo_environment(folder, ensure_running(folder), first)
        self.say("Preparing the database, people and apps …")
        prepare(env)
        with Family(folder / "logs") as family:
            everybody = programs(env, first)
            for program in everybody:
                self.say(f"Starting {program.name} …")
                family.start(program)
            self.say(welcome(everybody, demo_password(folder)))
            family.watch()

    def prepare(self) -> None:
        """Bring the demo's own database up to date; runs in a process of its own."""
        folder = Path(settings.SSO_DATA_DIR)
        call_command("migrate", verbosity=0, interactive=False)
        make_people(demo_password(folder))
        make_apps({name: os.environ[f"{name.upper()}_ORIGIN"] for name in PLACES if name != "auth"})

    def say(self, text: str) -> None:
        self.stdout.write(text)
        self.stdout.flush()


def first_port() -> int:
    """``DEMO_PORT``, the first of four free ports; raises ``CommandError`` in one line."""
    text = os.environ.get("DEMO_PORT") or "8000"
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= 65_532):
        raise CommandError(f"DEMO_PORT={text}: not a port from 1 to 65532. Write one such as 9000.")
    for port in range(int(text), int(text) + len(PLACES)):
        if why := taken(port):
            other = 9000 if int(text) < 9000 else int(text) + 10
            raise CommandError(
                f"Port {port} {why}. Start with DEMO_PORT={other} to use {other} to {other + 3}."
            )
    return int(text)


def demo_environment(folder: Path, redis: str, first: int) -> dict[str, str]:
    """What the demo's processes see: this user's environment, and an installation of the demo's own."""
    dropped = {*FOREIGN, *(f"{name}_FILE" for name in FOREIGN)}
    auth, wiki, shop, notes = origins(first).values()
    return {name: value for name, value in os.environ.items() if name not in dropped} | {
        "DJANGO_SETTINGS_MODULE": "authserver.settings",
        "DEBUG": "false",
        "SSO_DATA_DIR": str(folder),
        "DATABASE_URL": f"sqlite:///{folder}/db.sqlite3",
        "SSO_REDIS_URL": redis,
        "SSO_REDIS_PREFIX": "sso:",
        "SSO_COOKIE_NAME": "__Secure-sso_session",
        "SSO_SITES": f"{DOMAIN}={auth}, {FURTHER}={hub_of(FURTHER, first)}",
        "SSO_WORKERS": "2",
        "WIKI_ORIGIN": wiki,
        "SHOP_ORIGIN": shop,
        "NOTES_ORIGIN": notes,
    }


def origins(first: int) -> dict[str, str]:
    """Where each program is, by name."""
    return {name: f"http://{name}.{domain}:{first + at}" for at, (name, domain) in enumerate(PLACES.items())}


def hub_of(domain: str, first: int) -> str:
    """The auth server's address on one of the domains."""
    return f"http://auth.{domain}:{first}"


def prepare(env: dict[str, str]) -> None:
    """Run ``demo --prepare`` in the demo's environment; raises :class:`DemoFailed` with what it said."""
    command = [sys.executable, str(PROJECT / "manage.py"), "demo", "--prepare"]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        raise DemoFailed(
            f"The demo's database cannot be prepared:\n{done.stderr.strip() or done.stdout.strip()}"
        )


def programs(env: dict[str, str], first: int) -> list[Program]:
    """All of them, in the order they start."""
    gunicorn = [sys.executable, "-m", "gunicorn", "--no-control-socket"]
    conf = str(PROJECT / "deploy" / "gunicorn.conf.py")
    hub = [*gunicorn, "--config", conf, "--chdir", str(PROJECT), "authserver.wsgi:application"]
    small = [*gunicorn, "--workers", "1", "--log-level", "warning"]
    wiki = [*small, "--threads", "8", "--chdir", str(EXAMPLES / "wiki"), "app:create_app()"]
    shop = [*small, "--worker-class", "asgi", "--chdir", str(EXAMPLES / "shop"), "app:app"]
    commands = {"auth": hub, "wiki": wiki, "shop": shop, "notes": wiki}
    return [
        Program(
            name=name,
            command=(*commands[name], "--bind", f"{LOOPBACK}:{first + at}"),
            env=env | app_environment(name, first),
            host=f"{name}.{domain}",
            port=first + at,
            health="/readyz" if name == "auth" else "/healthz",
        )
        for at, (name, domain) in enumerate(PLACES.items())
    ]


def app_environment(name: str, first: int) -> dict[str, str]:
    """What one program sees beside the rest: an app is told the hub of its own domain."""
    return {
        "APP_ORIGIN": origins(first)[name],
        "APP_TITLE": name.title(),
        "SSO_HUB": hub_of(PLACES[name], first),
        "PYTHONUNBUFFERED": "1",
    }


def welcome(everybody: list[Program], password: str) -> str:
    """Where to go and how to get in."""
    places = "\n".join(f"  {program.name:<5} {program.address}" for program in everybody)
    people = ", ".join(
        f"{username} ({', '.join([*groups, *(['administrator'] if administrator else [])])})"
        for username, (_, groups, administrator) in PEOPLE.items()
    )
    return (
        f"\n{places}\n\n  Sign in as  {people}\n  Password    {password}\n\n"
        "Only this machine can reach it. Ctrl-C stops everything."
    )
