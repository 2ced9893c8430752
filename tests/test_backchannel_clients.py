"""Three clients that others wrote end their own sessions when somebody signs out at the hub."""

import time

import pytest

from tests.support import oidc_apps

PASSWORD = "seven brave kettles sing"


@pytest.fixture
def server(start_auth_server):
    made = start_auth_server(tls=False)
    made.manage("create_user", "ada", "--email", "ada@example.test", "--password-stdin", input=PASSWORD)
    return made


@pytest.fixture(params=oidc_apps.NAMES)
def app(request, server, tmp_path):
    with oidc_apps.start(request.param, server, tmp_path / request.param) as started:
        yield started


def sign_in(page, app):
    page.goto(f"{app.origin}/")
    page.get_by_label("Username").fill("ada")
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_role("button", name="Sign in", exact=True).click()
    page.wait_for_url(f"{app.origin}/")


def until_gone(page, app, seconds=10):
    """Seconds from now until the app knows nobody any more."""
    began = time.monotonic()
    while app.knows(page):
        assert time.monotonic() < began + seconds, "the app still knows them"
    return time.monotonic() - began


def test_signing_out_at_the_hub_ends_the_apps_own_session_within_a_second(server, app, page):
    spent = []
    for _ in range(3):
        sign_in(page, app)
        assert app.knows(page)
        page.goto(f"{server.origin}/logout/")
        page.get_by_role("button", name="Sign out").click()
        page.wait_for_url("**/logout/")
        spent.append(until_gone(page, app))
    assert min(spent) < 1.0, spent
    assert "logout_done" in server.output
    assert "logout_refused" not in server.output


def test_an_end_that_a_command_asks_for_reaches_the_app_too(server, app, page):
    sign_in(page, app)
    server.manage("end_sessions", "ada")
    until_gone(page, app)
    assert not app.knows(page)


def test_only_the_sign_in_that_ended_is_signed_out(server, app, page, browser):
    sign_in(page, app)
    elsewhere = browser.new_context()
    try:
        other = elsewhere.new_page()
        sign_in(other, app)
        page.goto(f"{server.origin}/logout/")
        page.get_by_role("button", name="Sign out").click()
        page.wait_for_url("**/logout/")
        until_gone(page, app)
        assert app.knows(other)
    finally:
        elsewhere.close()
