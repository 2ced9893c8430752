"""A logout URL that hangs, fails, redirects or points inward, before a whole auth server: nobody waits for it."""

import json
import os
import time
from contextlib import ExitStack, closing
from urllib.parse import quote

import pytest
from playwright.sync_api import expect

from tests.support.logout_targets import LogoutTarget, hangs
from tests.support.oidc import claims_of

PASSWORD = "seven brave kettles sing"


@pytest.fixture
def targets():
    """What apps may do to us, by name; ``well`` answers as it should."""
    with ExitStack() as stack:
        ways = {"hangs": hangs, "fails": [500, 200], "redirects": 302, "refuses": 400, "well": 200}
        yield {name: stack.enter_context(LogoutTarget(how)) for name, how in ways.items()}


@pytest.fixture
def server(start_auth_server, targets):
    env = {
        "SSO_BACKCHANNEL_NETWORKS": "127.0.0.0/8",
        "SSO_ADMIN_SECOND_FACTOR": "false",
        "SSO_WORKERS": "2",
        "PYTHONPATH": "tests/support/own_names",
        "NAMES_ELSEWHERE": "metadata.example.test=169.254.169.254",
    }
    server = start_auth_server(env=env)
    for name, more in (("ada", ()), ("root", ("--superuser",))):
        words = ("create_user", name, "--email", f"{name}@example.test", "--password-stdin", *more)
        server.manage(*words, input=PASSWORD)
    addresses = {name: f"http://127.0.0.1:{target.port}/" for name, target in targets.items()}
    addresses["inward"] = "https://metadata.example.test/latest/"
    for name, address in addresses.items():
        origin = f"https://{name}.example.test"
        server.manage("register_app", name, "--origin", origin, "--backchannel-logout-uri", address)
    return server


def signed_in(server):
    ada = server.visitor(headers={"Origin": server.origin})
    ada.headers["X-CSRF-Token"] = ada.get("/api/csrf").json()["csrf_token"]
    given = {"username": "ada", "password": PASSWORD}
    assert ada.post("/api/session", json=given).status_code == 200
    ada.headers["X-CSRF-Token"] = ada.get("/api/csrf").json()["csrf_token"]
    return ada


def sign_out(ada):
    """Seconds that it took."""
    began = time.monotonic()
    assert ada.delete("/api/session").status_code == 204
    return time.monotonic() - began


def test_whatever_apps_do_nobody_waits_and_the_others_are_told(server, targets):
    for round_ in range(1, 6):
        with closing(signed_in(server)) as ada:
            assert sign_out(ada) < 2, "nobody waits for an app (the slow one takes five seconds)"
        (last,) = targets["well"].wait(round_)[round_ - 1 :]
        assert claims_of(last.token)["aud"].startswith("well-")
    targets["fails"].wait(2)
    assert all(got.path == "/" for got in targets["redirects"].got), "nothing is followed"
    again = [claims_of(got.token)["jti"] for got in targets["fails"].wait(6)]
    assert len(set(again)) == 5, "the one that failed came again with the same jti"
    for target in targets.values():
        for got in target.got:
            assert got.token not in server.output


def test_what_waits_outlives_the_server_and_a_dead_one_finishes_nothing_twice(
    server, targets, start_auth_server
):
    targets["well"].how = 503
    with closing(signed_in(server)) as ada:
        sign_out(ada)
    targets["well"].wait(1)
    server.kill()
    targets["well"].how = 200
    had = len(targets["well"].got)
    server.start()
    targets["well"].wait(had + 1, seconds=60)
    jtis = {claims_of(got.token)["jti"] for got in targets["well"].got}
    assert len(jtis) == 1


def look(page, name):
    """A picture, for whoever wants to see (``PICTURES=/some/folder``)."""
    if folder := os.environ.get("PICTURES"):
        page.screenshot(path=f"{folder}/logouts-{name}.png", full_page=True)


def test_an_administrator_sees_what_was_in_vain_and_tries_again(server, targets, page):
    with closing(signed_in(server)) as ada:
        sign_out(ada)
    targets["well"].wait(1)
    page.goto(f"{server.origin}/login/?rd={quote('/admin/logouts/', safe='')}")
    page.get_by_label("Username").fill("root")
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_role("button", name="Sign in", exact=True).click()
    page.wait_for_url("**/admin/logouts/")
    for _ in range(100):
        if page.get_by_text("sent us elsewhere").count() and page.get_by_text("within five seconds").count():
            break
        page.wait_for_timeout(100)
        page.reload()
    expect(page.get_by_role("row").filter(has_text="redirects")).to_contain_text("302")
    expect(page.get_by_role("row").filter(has_text="inward")).to_contain_text("169.254.169.254")
    row = page.get_by_role("row").filter(has_text="refuses")
    expect(row).to_contain_text("400")
    look(page, "wide-light")
    targets["refuses"].how = 200
    row.get_by_role("button", name="Tell refuses again now").click()
    page.wait_for_url("**/admin/logouts/**")
    expect(page.get_by_text("refuses is told again.")).to_be_visible()
    for _ in range(100):
        if row.get_by_text("delivered").count():
            break
        page.wait_for_timeout(100)
        page.reload()
    expect(row).to_contain_text("delivered")
    page.emulate_media(color_scheme="dark")
    page.reload()
    look(page, "wide-dark")
    page.set_viewport_size({"width": 390, "height": 844})
    look(page, "phone-dark")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_discovery_says_that_apps_are_told(server):
    found = json.loads(server.get("/.well-known/openid-configuration").body)
    assert found["backchannel_logout_supported"] is True
    assert found["backchannel_logout_session_supported"] is True
