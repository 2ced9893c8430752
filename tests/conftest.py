"""What tests share. Shown at work in tests/README.md.

Tests inside this process (Django's client, models, flows) have a Redis and a data folder of this process; the
environment is set here, before Django reads its settings. Tests from outside start a whole ``auth_server``.
"""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from playwright.sync_api import Browser, BrowserContext, Page

from tests.support.auth_server import SECRET_KEY, AuthServer, migrated_database
from tests.support.browser import chromium
from tests.support.certificates import Certificates
from tests.support.programs import clean_environment
from tests.support.redis_server import RedisServer, server_binaries

_scratch = Path(tempfile.mkdtemp(prefix="sso-"))
(_scratch / "static").mkdir()
_redis = RedisServer()

_settings = {
    "DJANGO_SETTINGS_MODULE": "authserver.settings",
    # A developer's own ``.env`` is nobody else's business.
    "SSO_ENV_FILE": os.devnull,
    "SECRET_KEY": SECRET_KEY,
    "SSO_DATA_DIR": str(_scratch),
    "SSO_REDIS_URL": _redis.url,
    "SSO_SITES": "example.com=auth.example.com, example.org=auth.example.org",
}
for _name in os.environ.keys() - clean_environment().keys() - {"SSO_CORPORA"}:
    del os.environ[_name]
os.environ.update(_settings)


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "asvs(*lines): the lines of OWASP ASVS 5.0 that this test holds")
    if getattr(config.option, "numprocesses", None) and not hasattr(config, "workerinput"):
        # xdist's workers inherit this environment, and pytest-django would read settings from it before the
        # worker's own conftest has spoken: they would all share one Redis.
        for name in _settings:
            del os.environ[name]
        return

    import django

    _redis.start()
    django.setup()


def pytest_unconfigure() -> None:
    _redis.close()
    shutil.rmtree(_scratch, ignore_errors=True)


# -- inside this process


@pytest.fixture
def redis_server() -> Iterator[RedisServer]:
    """The Redis of tests inside this process; a test may stop, kill or freeze it, the next finds it well."""
    yield _redis
    _well(_redis)


@pytest.fixture
def redis_client(redis_server: RedisServer) -> Iterator["redis.Redis"]:
    """A plain connection to it, to look at keys."""
    with redis_server.client() as client:
        yield client


@pytest.fixture(autouse=True)
def _empty_redis() -> None:
    """Every test starts with an empty Redis."""
    _well(_redis)
    _redis.flush()


@pytest.fixture(autouse=True)
def _no_signing_key_remembered() -> None:
    """Each test has a database of its own, and signing keys are in it."""
    from sso.oidc import keys

    keys._ring = keys._Ring()


@pytest.fixture(autouse=True)
def _no_link_left() -> Iterator[None]:
    """What follows Redis in the background ends with its test: the next one may have no database."""
    yield
    from sso import registry_mirror

    if registry_mirror._reader.cache_info().currsize:
        registry_mirror._reader().close()
        registry_mirror._reader.cache_clear()


@pytest.fixture(autouse=True)
def _no_event_left() -> Iterator[None]:
    """What one test's database could not take is not stored into the next one's."""
    yield
    from sso.audit import keeping

    keeping.forget_waiting()


def _well(server: RedisServer) -> None:
    if server.running:
        server.thaw()
    else:
        server.start()


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_blocker: Any) -> None:
    """Emptying tables between tests is what the audit trail's triggers refuse; whole servers have them."""
    from django.db import connection

    from sso.audit import triggers

    with django_db_blocker.unblock(), connection.schema_editor() as editor:
        triggers.remove(None, editor)


# -- whole servers


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """Our own authority and a certificate for the names of the tests."""
    return Certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="session")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated SQLite file to copy; made once, whatever the number of pytest-xdist's workers."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    with (shared / "template.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        made, done = shared / "template.sqlite3", shared / "template.done"
        if not done.exists():
            migrated_database(shared)
            done.touch()
    return made


@pytest.fixture
def own_redis() -> Iterator[RedisServer]:
    """A Redis that belongs to one test."""
    with RedisServer() as server:
        yield server


@pytest.fixture(params=server_binaries(), ids=lambda binary: binary.name)
def each_redis(request: pytest.FixtureRequest) -> Iterator[RedisServer]:
    """A Redis that belongs to one test, which runs on Valkey and, where installed, on Debian's Redis."""
    with RedisServer(request.param) as server:
        yield server


@pytest.fixture
def start_auth_server(
    tmp_path_factory: pytest.TempPathFactory, database: Path, certificates: Certificates
) -> Iterator[Callable[..., AuthServer]]:
    """Start auth servers as a test needs them: ``start_auth_server(tls=False, env={"SSO_WORKERS": "2"})``.

    ``redis`` may be given to let several share one; each has its own otherwise.
    """
    started: list[AuthServer] = []
    redises: list[RedisServer] = []

    def start(*, tls: bool = True, redis: RedisServer | None = None, **options: Any) -> AuthServer:
        if redis is None:
            redises.append(redis := RedisServer().start())
        trust = certificates if tls else None
        folder = tmp_path_factory.mktemp("auth")
        server = AuthServer(folder, redis=redis, database=database, certificates=trust, **options)
        started.append(server.start())
        return server

    yield start
    for server in started:
        server.stop()
    for one in redises:
        one.close()


@pytest.fixture
def auth_server(start_auth_server: Callable[..., AuthServer]) -> AuthServer:
    """One whole auth server over TLS, ``https://auth.example.test:<port>``, with nobody in it yet."""
    return start_auth_server()


# -- browsers


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory, certificates: Certificates) -> Iterator[Browser]:
    """Chromium. For a module at most: Playwright keeps an event loop, beside which no async test can run."""
    with chromium(tmp_path_factory.mktemp("home"), certificates) as browser:
        yield browser


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    """A fresh browser profile: no cookies, no storage."""
    context = browser.new_context()
    context.set_default_timeout(15_000)
    yield context
    context.close()


@pytest.fixture
def page(context: BrowserContext) -> Page:
    return context.new_page()
