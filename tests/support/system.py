"""Programs of the machine that tests drive: found, or the test is skipped loudly with the way to get them.

With ``CI=true`` nothing is skipped: a missing program is a failure there, so that green means tested.
"""

import os
import shutil
from pathlib import Path

import pytest

#: What tests call it: where it may be (names on PATH, or patterns), and Debian's packages with it.
PROGRAMS = {
    "chromium": (("chromium", "chromium-browser"), "chromium"),
    "certutil": (("certutil",), "libnss3-tools"),
    "nginx": (("nginx", "/usr/sbin/nginx"), "nginx"),
    "caddy": (("caddy",), "caddy"),
    "haproxy": (("haproxy", "/usr/sbin/haproxy"), "haproxy"),
    "redis-server": (("redis-server",), "redis-server"),
    "postgres": (("/usr/lib/postgresql/*/bin/postgres", "postgres"), "postgresql"),
    "initdb": (("/usr/lib/postgresql/*/bin/initdb", "initdb"), "postgresql"),
    "node": (("node", "nodejs"), "nodejs"),
    "apache2": (("apache2", "/usr/sbin/apache2"), "apache2"),
    "mod_auth_openidc": (
        ("/usr/lib/apache2/modules/*auth_openidc.so",),
        "libapache2-mod-auth-openidc",
    ),
    "openssl": (("openssl",), "openssl"),
}


def find(name: str) -> Path | None:
    """Where a program of ``PROGRAMS`` is, or ``None``."""
    for place in PROGRAMS[name][0]:
        patterned = max(map(str, Path("/").glob(place.lstrip("/"))), default=None) if "*" in place else None
        if found := patterned or shutil.which(place):
            return Path(found)
    return None


def require(*names: str) -> list[Path]:
    """Paths of all programs named; otherwise the test (or the module that calls it at its top) is skipped."""
    found = {name: find(name) for name in names}
    missing = [name for name, path in found.items() if path is None]
    if missing:
        packages = " ".join(dict.fromkeys(PROGRAMS[name][1] for name in missing))
        absent(f"needs {', '.join(missing)}: apt-get install -y {packages}")
    return [path for path in found.values() if path]


def require_one(name: str) -> Path:
    return require(name)[0]


def absent(reason: str) -> None:
    """Skip for ``reason``, or fail for it under continuous integration."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"Not skipped because CI=true: {reason}", pytrace=False)
    pytest.skip(reason, allow_module_level=True)
