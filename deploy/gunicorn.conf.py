"""How gunicorn serves the auth server, by environment alone: ``gunicorn -c deploy/gunicorn.conf.py``.

Read from the environment, then from ``.env`` in the project's folder; docs/settings.md, "Serving":
``SSO_BIND``, ``SSO_WORKERS``, ``SSO_THREADS``, ``SSO_ACCESS_LOG``, ``SSO_CONTROL_SOCKET``.
"""

from __future__ import annotations

import gc
import os
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

from dotenv import dotenv_values
from gunicorn.glogging import Logger

PROJECT = Path(__file__).resolve().parent.parent
_environment = {
    **dotenv_values(PROJECT / (os.environ.get("SSO_ENV_FILE") or ".env")),
    **{name: value for name, value in os.environ.items() if value},
}
_problems: list[str] = []


def _text(name: str, default: str) -> str:
    return (_environment.get(name) or "").strip() or default


def _number(name: str, default: int) -> int:
    """A whole number from 1 to 1000."""
    value = _text(name, str(default))
    if value.isascii() and value.isdigit() and 1 <= int(value) <= 1000:
        return int(value)
    _problems.append(f"{name}={value!r}: not a whole number from 1 to 1000. Leave it out for {default}.")
    return default


class OneLineLogger(Logger):
    """An access log that holds no query string (tickets travel there) and cannot be forged by a path."""

    def atoms(self, resp: Any, req: Any, environ: dict[str, Any], request_time: timedelta) -> dict[str, Any]:
        found: dict[str, Any] = super().atoms(resp, req, environ, request_time)
        path = environ.get("RAW_URI", "").partition("?")[0]
        return {**found, "U": "".join(c if c.isprintable() else ascii(c)[1:-1] for c in path)}


# Wherever it is started from.
chdir = str(PROJECT)
wsgi_app = "authserver.wsgi:application"

bind = _text("SSO_BIND", "127.0.0.1:8000").replace(",", " ").split()
worker_class = "authserver.draining_worker.DrainingWorker"
workers = _number(
    "SSO_WORKERS", min(4, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 2)
)
threads = _number("SSO_THREADS", 8)

# Loaded once and shared by all workers, who start at once and use less memory.
preload_app = True
worker_tmp_dir = "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108 - a heartbeat must not wait for a disk

# A worker that gives no sign of life; single requests are bounded by their own timeouts.
timeout = 30
# On SIGTERM: no new connections, those being answered are finished.
graceful_timeout = 30
# Longer than the idle time of proxies in front (nginx 60 s), so that none reuses a connection we just closed.
keepalive = 75

# Room for the cookies of all sibling apps and for a long address in X-Original-URL.
limit_request_line = 8190
limit_request_fields = 100
limit_request_field_size = 16_380
header_map = "drop"

# Who a proxy is, sso/proxies.py alone decides (SSO_TRUSTED_PROXIES). gunicorn believes nobody, also on a
# Unix socket, where it would otherwise believe everybody.
forwarded_allow_ips = ""
forwarder_headers = ""
secure_scheme_headers: dict[str, str] = {}

# One fixed path for each user of the machine unless told otherwise: two installations would collide.
control_socket_disable = not _text("SSO_CONTROL_SOCKET", "")
control_socket = _text("SSO_CONTROL_SOCKET", "gunicorn.ctl")

logger_class = OneLineLogger
errorlog = "-"
accesslog = None if _text("SSO_ACCESS_LOG", "-") == "off" else _text("SSO_ACCESS_LOG", "-")
access_log_format = '%(h)s %(t)s "%(m)s %(U)s %(H)s" %(s)s %(B)s %(M)sms'

# With SSO_METRICS_TOKEN or SSO_METRICS_FROM: a folder in memory where the processes add up what they count. Set before
# anything that counts is imported.
_metered = any(
    _environment.get(name) for name in ("SSO_METRICS_TOKEN", "SSO_METRICS_TOKEN_FILE", "SSO_METRICS_FROM")
)
if _metered:
    sys.path.insert(0, str(PROJECT))
    from sso.metrics import folder

    folder.make()

if _problems:
    sys.exit("\n".join(_problems))


def when_ready(server: Any) -> None:  # noqa: ARG001 - gunicorn's signature
    """Before the workers are forked: what is loaded stays; the collector need not visit it (40 ms pauses)."""
    gc.collect()
    gc.freeze()


def post_worker_init(worker: Any) -> None:  # noqa: ARG001 - gunicorn's signature
    """The hub follows what Redis missed while it was away, also before anybody asks for a page."""
    if "authserver.wsgi" in sys.modules:
        from accounts.mail.sender import sender
        from sso import registry_mirror
        from sso.backchannel.sender import sender as logout_sender
        from sso.doctor import rounds

        registry_mirror.start()
        rounds.start()
        sender.start()
        logout_sender.start()


def worker_exit(server: Any, worker: Any) -> None:  # noqa: ARG001 - gunicorn's signature
    """The worker's last second of counting."""
    if "sso.metrics.tally" in sys.modules:
        sys.modules["sso.metrics.tally"].tally.flush()


def child_exit(server: Any, worker: Any) -> None:  # noqa: ARG001 - gunicorn's signature
    """A worker has ended, one way or the other: what it counted stays."""
    if _metered:
        folder.worker_ended(worker.pid)


def on_exit(server: Any) -> None:
    """The server has ended, and no other one has taken over its folder (SIGUSR2)."""
    if _metered and not server.reexec_pid and not server.master_pid:
        folder.remove()
