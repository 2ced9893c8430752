"""Passkeys of the primary domain on every site, in Chromium with a virtual authenticator."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from flask import Flask, Response
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.support.browser import RULES, chromium
from tests.support.certificates import Certificates
from tests.support.family import PASSWORD, serving
from tests.support.two_sites import TwoSites, two_sites
from tests.test_account_browser import Device, add_passkey, sign_out

#: Asks the browser for a passkey of the primary domain; the name of the error, or "signed".
ASK = """async () => {
  const challenge = new Uint8Array(32);
  const publicKey = {rpId: "example.test", challenge, userVerification: "required", timeout: 10000};
  try { return (await navigator.credentials.get({publicKey})) ? "signed" : "nothing"; }
  catch (error) { return error.name; }
}"""


@pytest.fixture(scope="module")
def site(
    tmp_path_factory: pytest.TempPathFactory, database: Path, certificates: Certificates
) -> Iterator[TwoSites]:
    with two_sites(tmp_path_factory.mktemp("site"), database, certificates) as found:
        found.hub.manage(
            *("create_user", "grace", "--email", "grace@example.test", "--password-stdin"), input=PASSWORD
        )
        yield found


@pytest.fixture(scope="module")
def browser(
    tmp_path_factory: pytest.TempPathFactory, certificates: Certificates, site: TwoSites
) -> Iterator[Browser]:
    """Browsers read the list at the passkeys' domain itself: its web server passes that one address on to us."""
    front = Flask(__name__)

    @front.get("/.well-known/webauthn")
    def passed_on() -> Response:
        answer = site.hub.get("/.well-known/webauthn")
        return Response(answer.body, answer.status, content_type=answer.get("Content-Type"))

    with serving(front, certificates) as port:
        rules = f"--host-resolver-rules=MAP example.test:443 127.0.0.1:{port}, {RULES}"
        with chromium(tmp_path_factory.mktemp("home"), certificates, rules) as found:
            yield found


def test_a_passkey_signs_in_for_every_site_and_works_on_their_hubs_but_not_on_apps(
    site: TwoSites, context: BrowserContext, page: Page
) -> None:
    device = Device(context.new_cdp_session(page))
    add_passkey(site.near, page, "grace")
    device.touches_itself(False)
    sign_out(site.near, page)
    # From an app of the further domain: the page that asks is the primary hub's.
    page.goto(f"{site.far1}/report?x=1")
    button = page.get_by_role("button", name="Use a passkey")
    expect(button).to_be_visible()
    device.touches_itself(True)
    button.click()
    page.wait_for_url(f"{site.far1}/report?x=1")
    expect(page.locator("#who")).to_have_text("grace")
    assert site.near.everywhere(context) | site.far_everywhere(context) == {"grace"}
    # And by Related Origin Requests (WebAuthn 3 §5.11) the further hub's own pages might, no app's.
    page.goto(f"{site.far_hub}/logout/")
    assert page.evaluate(ASK) == "signed"
    page.goto(site.far2)
    assert page.evaluate(ASK) == "SecurityError"
