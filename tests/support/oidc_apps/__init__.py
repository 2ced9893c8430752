"""Three apps that speak OpenID Connect with three libraries nobody here wrote, each as its own process.

``start("flask", server, folder)`` registers the app at the auth server and starts it; every one answers the same
questions, in a browser that is signed in there or not.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from playwright.sync_api import Page

from tests.support.auth_server import AuthServer, listens
from tests.support.programs import Program, clean_environment
from tests.support.redis_server import free_port
from tests.support.system import absent, require, require_one

HERE = Path(__file__).parent
NAMES = ("flask", "node", "apache")


@dataclass
class App:
    """One running app: its origin, its registration, and how it is asked."""

    name: str
    origin: str
    registered: dict[str, Any]
    program: Program

    def who(self, page: Page) -> dict[str, Any]:
        """The claims the app has, once its front page is there."""
        if self.name == "apache":
            return dict(self._info(page)["id_token"])
        return _json(page, f"{self.origin}/")

    def refresh(self, page: Page) -> dict[str, Any]:
        """``{"refreshed": True}``, or the error the provider gave."""
        if self.name != "apache":
            return _json(page, f"{self.origin}/refresh")
        before = self._info(page).get("access_token")
        after = self._info(page, "&access_token_refresh_interval=0").get("access_token")
        return {"refreshed": True} if after and before != after else {"error": "invalid_grant"}

    def tokens(self, page: Page) -> dict[str, Any]:
        return self._info(page) if self.name == "apache" else _json(page, f"{self.origin}/tokens")

    def knows(self, page: Page) -> bool:
        """Whether the app itself has a session for this browser."""
        if self.name == "apache":
            return bool(self._info(page))
        return bool(_json(page, f"{self.origin}/state")["signed_in"])

    @property
    def sign_out(self) -> str:
        return f"{self.origin}/callback?logout=" if self.name == "apache" else f"{self.origin}/logout"

    def _info(self, page: Page, more: str = "") -> dict[str, Any]:
        answer = page.goto(f"{self.origin}/callback?info=json{more}")
        return dict(answer.json()) if answer and answer.ok else {}


def _json(page: Page, address: str) -> dict[str, Any]:
    answer = page.goto(address)
    assert answer is not None
    return dict(answer.json())


@contextmanager
def start(name: str, server: AuthServer, folder: Path, **options: str) -> Iterator[App]:
    """Register, write the configuration, start, and stop at the end. ``options`` go to ``register_app``."""
    folder.mkdir(parents=True, exist_ok=True)
    command = _command(name)
    port = free_port()
    origin = f"http://{name}.example.localhost:{port}"
    words = ["register_app", name, "--json", "--redirect-uri", f"{origin}/callback", "--title", name.title()]
    # Apache's module has an address of its own for it.
    told = f"{origin}/callback?logout=backchannel" if name == "apache" else f"{origin}/signed-out"
    words += ["--backchannel-logout-uri", told]
    words += ["--post-logout-redirect-uri", f"{origin}/{'public/' if name == 'apache' else ''}bye"]
    words += [word for option, value in options.items() for word in (f"--{option.replace('_', '-')}", value)]
    registered = json.loads(server.manage(*[word.replace("{origin}", origin) for word in words]))
    settings = {**registered, "issuer": server.origin, "origin": origin}
    words = [*command, *_arguments(name, port, settings, folder)]
    env = clean_environment({"AUTHLIB_INSECURE_TRANSPORT": "1"})
    program = Program(words, log=folder / "app.log", env=env, ready=lambda: listens(port))
    with program:
        yield App(name, origin, registered, program)


def _command(name: str) -> list[str]:
    if name == "flask":
        return [sys.executable, str(HERE / "flask_app.py")]
    if name == "node":
        node = require_one("node")
        _install()
        return [str(node), str(HERE / "node_app.mjs")]
    apache, _ = require("apache2", "mod_auth_openidc")
    return [str(apache), "-D", "FOREGROUND"]


def _install() -> None:
    """npm's packages as the lock file has them, once; ``make test`` does it beforehand."""
    if (HERE / "node_modules" / "openid-client").is_dir():
        return
    npm = shutil.which("npm")
    done = npm and subprocess.run(
        [npm, "ci", "--no-audit", "--no-fund", "--ignore-scripts"], cwd=HERE, check=False
    )
    if not done or done.returncode:
        absent("needs openid-client from npm: cd tests/support/oidc_apps && npm ci")


def _arguments(name: str, port: int, settings: dict[str, Any], folder: Path) -> list[str]:
    if name != "apache":
        file = folder / "settings.json"
        file.write_text(json.dumps(settings))
        return [str(port), str(file)]
    (folder / "www" / "public").mkdir(parents=True)
    (folder / "www" / "index.html").write_text("<title>Apache</title>the page\n")
    (folder / "www" / "public" / "bye").write_text("bye\n")
    text = (HERE / "apache.conf").read_text()
    modules = require_one("mod_auth_openidc").parent
    values = {**settings, "port": port, "folder": folder, "modules": modules, "host": settings["origin"][7:]}
    for key, value in values.items():
        text = text.replace(f"@{key.upper()}@", str(value))
    (folder / "apache.conf").write_text(text)
    return ["-f", str(folder / "apache.conf")]
