"""The administration while Redis or the database gives no answer: 503 at once, on every page, and nobody signed out."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from tests.support.api import HUB_COOKIE, Browser
from tests.support.auth_server import AuthServer
from tests.support.redis_server import RedisServer

PASSWORD = "seven brave kettles sing"
PAGES = (
    "/admin/",
    "/admin/accounts/user/",
    "/admin/accounts/user/add/",
    "/admin/auth/group/",
    "/admin/sso/relyingapp/",
    "/admin/audit/",
    "/admin/sessions/",
    "/admin/doctor/",
    "/admin/exposure/",
    "/admin/search/?s=people",
)
#: Seconds: one for the outage, a little for a busy machine.
WITHIN = 2.0


@pytest.fixture
def hub(start_auth_server: Callable[..., AuthServer]) -> AuthServer:
    server = start_auth_server(env={"SSO_ADMIN_SECOND_FACTOR": "false"})
    server.manage(
        *("create_user", "root", "--email", "root@example.com", "--password-stdin", "--superuser"),
        input=PASSWORD,
    )
    return server


@pytest.fixture
def root(hub: AuthServer) -> Browser:
    browser = Browser(hub, hub.origin)
    browser.fetch_token()
    assert browser.sign_in("root", PASSWORD).status_code == 200
    for page in PAGES:
        assert browser.get(page).status_code == 200, page
    return browser


def refused(browser: Browser, page: str) -> None:
    began = time.monotonic()
    answer = browser.get(page)
    took = time.monotonic() - began
    assert answer.status_code == 503, page
    assert "set-cookie" not in answer.headers, page
    assert answer.headers["cache-control"] == "no-store", page
    assert took < WITHIN, (page, took)


@pytest.mark.parametrize("outage", [RedisServer.stop, RedisServer.freeze])
def test_without_redis_no_page_of_the_admin_opens_and_all_do_afterwards(
    hub: AuthServer, root: Browser, outage: Callable[[RedisServer], None]
) -> None:
    outage(hub.redis)
    for page in PAGES:
        refused(root, page)
    hub.redis.thaw() if hub.redis.running else hub.redis.start()
    assert root.cookie(HUB_COOKIE)
    deadline = time.monotonic() + 5
    while root.get("/readyz").status_code != 200:
        assert time.monotonic() < deadline, "not ready 5 s after Redis came back"


def test_without_the_database_no_page_of_the_admin_opens(
    start_auth_server: Callable[..., AuthServer], hub: AuthServer, root: Browser
) -> None:
    """Two servers on one Redis, the second with a database that cannot be opened."""
    gone = {"DATABASE_URL": "sqlite:////nowhere/db.sqlite3", "SSO_SITES": f"example.test={hub.host}"}
    broken = start_auth_server(redis=hub.redis, env={**gone, "SSO_ADMIN_SECOND_FACTOR": "false"})
    there = Browser(broken, broken.origin)
    there.client.headers["host"] = hub.host
    there.client.cookies = root.client.cookies
    for page in PAGES:
        refused(there, page)
