"""Audits that somebody starts from the admin: in a thread of this process, one at a time in the whole installation."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

import msgspec
from django.db import close_old_connections
from sso_client.errors import StoreUnavailable

from sso import audit
from sso.exposure import auditing, models
from sso.exposure.dns_asking import Address, NoResolver, system_servers
from sso.exposure.planning import domain_of
from sso.exposure.values import Report
from sso.redis import answering, keys
from sso.sites import Site

log = logging.getLogger("sso.exposure")

#: Seconds one may take, and until its outcome is forgotten.
LONGEST = 180
SHOWN = 60
#: Seconds between two notes of how far it is.
_OFTEN = 0.5

#: How a plan is made of what the page knows; a laboratory puts its own in.
Laboratory = Callable[[auditing.Plan], auditing.Plan]
laboratory: Laboratory | None = None
resolvers: Callable[[], list[Address]] = system_servers


class Run(msgspec.Struct):
    """How far it is. ``problem`` is empty unless it failed; ``over`` when it has ended."""

    site: str
    step: str = ""
    done: int = 0
    of: int = 0
    over: bool = False
    problem: str = ""


def current() -> Run | None:
    """The run that is on, or ended within the last minute. Raises ``StoreUnavailable``."""
    with answering() as redis:
        raw = redis.get(_key())
    return msgspec.json.decode(raw, type=Run) if raw else None


def start(site: Site, actor_id: str) -> bool:
    """Begin one; False when one is on. Raises ``StoreUnavailable``."""
    run = Run(site.domain)
    with answering() as redis:
        if (known := current()) is not None and known.over:
            redis.delete(_key())
        if not redis.set(_key(), msgspec.json.encode(run), nx=True, ex=LONGEST + SHOWN):
            return False
    threading.Thread(target=_run, args=(site, run, actor_id), name="sso-exposure", daemon=True).start()
    return True


def _run(site: Site, run: Run, actor_id: str) -> None:
    """Raises nothing: it is nobody's request any more."""
    try:
        close_old_connections()
        report = auditing.run(_plan(site), _noting(run))
        models.save(report)
        note(report, actor_id)
    except NoResolver as error:
        run.problem = str(error)
    except TimeoutError:
        run.problem = "timeout"
    except Exception as error:
        log.exception("domain_audit_failed site=%s", site.domain)
        run.problem = type(error).__name__
    finally:
        run.over = True
        _put(run, SHOWN)
        close_old_connections()


def note(report: Report, actor_id: str = "") -> None:
    """Into the audit trail."""
    audit.record(
        audit.Event.DOMAIN_AUDITED,
        actor=actor_id or None,
        findings=len(report.findings),
        hosts=len(report.hosts),
    )


def _plan(site: Site) -> auditing.Plan:
    """What the last audit knew of is looked at again, so that a zone file given once counts here too."""
    last = models.latest(site.domain)
    known = tuple(host.name for host in last.report.hosts if not host.is_wildcard) if last else ()
    plan = auditing.Plan(domain=domain_of(site), servers=resolvers(), listed=known, seconds=LONGEST)
    return laboratory(plan) if laboratory else plan


def _noting(run: Run) -> auditing.Progress:
    noted = 0.0

    def progress(step: str, done: int, of: int) -> None:
        nonlocal noted
        run.step, run.done, run.of = step, done, of
        if (now := time.monotonic()) - noted > _OFTEN:
            noted = now
            _put(run, LONGEST + SHOWN)

    return progress


def _put(run: Run, seconds: int) -> None:
    try:
        with answering() as redis:
            redis.set(_key(), msgspec.json.encode(run), xx=True, ex=seconds)
    except StoreUnavailable as error:
        log.warning("domain_audit_progress_lost: %s", error)


def _key() -> str:
    return f"{keys().prefix}cache:exposure:run"
