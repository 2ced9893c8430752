"""The account in Chromium: passkeys of a virtual authenticator, second steps, ending another browser's sign-in."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, CDPSession, Page, expect

from sso.keys import fingerprint
from tests.support import axe
from tests.support.certificates import Certificates
from tests.support.family import PASSWORD, SHARED_COOKIE, Family, family, kept_cookies
from tests.test_account_pages import early_in_a_step, totp


@pytest.fixture(scope="module")
def site(
    tmp_path_factory: pytest.TempPathFactory, database: Path, certificates: Certificates
) -> Iterator[Family]:
    with family(tmp_path_factory.mktemp("site"), database, certificates) as found:
        yield found


class Device:
    """A virtual authenticator inside the browser: keeps passkeys, verifies its user, touches itself."""

    def __init__(self, cdp: CDPSession) -> None:
        self.cdp = cdp
        cdp.send("WebAuthn.enable")
        options = {
            "protocol": "ctap2",
            "transport": "internal",
            "hasResidentKey": True,
            "hasUserVerification": True,
            "isUserVerified": True,
            "automaticPresenceSimulation": True,
        }
        self.id = cdp.send("WebAuthn.addVirtualAuthenticator", {"options": options})["authenticatorId"]

    def touches_itself(self, yes: bool) -> None:
        """While it does, it also answers what the browser suggests unasked (conditional mediation)."""
        asked = {"authenticatorId": self.id, "enabled": yes}
        self.cdp.send("WebAuthn.setAutomaticPresenceSimulation", asked)

    @property
    def credentials(self) -> list[dict[str, Any]]:
        return list(self.cdp.send("WebAuthn.getCredentials", {"authenticatorId": self.id})["credentials"])


@pytest.fixture
def device(context: BrowserContext, page: Page) -> Device:
    return Device(context.new_cdp_session(page))


@pytest.fixture
def person(site: Family, request: pytest.FixtureRequest) -> str:
    """Somebody new for each test, as tests leave factors behind."""
    name = f"p{fingerprint(request.node.name)[:8]}"
    words = ("create_user", name, "--email", f"{name}@example.test", "--password-stdin")
    site.hub.manage(*words, input=PASSWORD)
    return name


def known_how(site: Family, context: BrowserContext) -> list[str]:
    """The ``amr`` that apps read with the shared cookie this browser holds."""
    from msgspec import json

    [value] = kept_cookies(context, SHARED_COOKIE)
    with site.redis.client() as redis:
        return list(json.decode(redis.get(f"sso:session:{fingerprint(value)}"))["amr"])


def sign_in(site: Family, page: Page, name: str) -> None:
    page.goto(f"{site.hub.origin}/login/")
    site.fill_in(page, name)


def confirm(page: Page) -> None:
    expect(page.get_by_role("heading", level=1)).to_have_text("Please confirm it is you")
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_role("button", name="Confirm").click()


def add_passkey(site: Family, page: Page, name: str) -> None:
    sign_in(site, page, name)
    page.wait_for_url(f"{site.hub.origin}/")
    page.goto(f"{site.hub.origin}/account/passkeys/add/")
    confirm(page)
    page.get_by_label("Name").fill("My laptop")
    page.get_by_role("button", name="Add").click()
    page.wait_for_url("**/account/2fa/recovery-codes/")


def sign_out(site: Family, page: Page) -> None:
    page.goto(f"{site.hub.origin}/logout/")
    page.locator("main").get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("You are signed out")


@pytest.mark.asvs("6.8.4")
def test_a_passkey_is_registered_and_signs_in_by_its_button_and_apps_know(
    site: Family, context: BrowserContext, page: Page, device: Device, person: str
) -> None:
    add_passkey(site, page, person)
    assert [(c["rpId"], c["isResidentCredential"]) for c in device.credentials] == [("example.test", True)]
    device.touches_itself(False)
    sign_out(site, page)
    page.goto(f"{site.app1}/report?x=1")
    button = page.get_by_role("button", name="Use a passkey")
    expect(button).to_be_visible()
    device.touches_itself(True)
    button.click()
    page.wait_for_url(f"{site.app1}/report?x=1")
    expect(page.locator("#who")).to_have_text(person)
    assert known_how(site, context) == ["hwk", "mfa"]
    assert site.everywhere(context) == {person}


def test_the_browser_suggests_a_passkey_without_being_asked(
    site: Family, context: BrowserContext, page: Page, device: Device, person: str
) -> None:
    add_passkey(site, page, person)
    device.touches_itself(False)
    sign_out(site, page)
    device.touches_itself(True)
    page.goto(f"{site.app1}/report")  # nothing is pressed: the device accepts what the browser offers
    page.wait_for_url(f"{site.app1}/report")
    assert known_how(site, context) == ["hwk", "mfa"]


def test_a_passkey_is_renamed_and_removed(site: Family, page: Page, device: Device, person: str) -> None:
    add_passkey(site, page, person)
    page.goto(f"{site.hub.origin}/account/passkeys/")
    expect(page.get_by_text("Not used yet.")).to_be_visible()
    page.get_by_role("link", name="Rename My laptop").click()
    page.get_by_label("Name").fill("Old laptop")
    page.get_by_role("button", name="Save").click()
    page.get_by_role("link", name="Remove Old laptop").click()
    page.get_by_role("button", name="Remove").click()
    expect(page.get_by_text("You have none yet.")).to_be_visible()


@pytest.mark.asvs("6.3.3")
def test_an_authenticator_app_is_set_up_and_its_code_leads_on_to_the_app(
    site: Family, context: BrowserContext, page: Page, person: str
) -> None:
    early_in_a_step()
    sign_in(site, page, person)
    page.wait_for_url(f"{site.hub.origin}/")
    page.goto(f"{site.hub.origin}/account/2fa/totp/activate/")
    confirm(page)
    expect(page.locator(".qr svg")).to_be_visible()
    secret = page.locator("#authenticator_secret").inner_text().replace(" ", "")
    page.get_by_label("Authenticator code").fill(totp(secret))
    page.get_by_role("button", name="Activate").click()
    page.wait_for_url("**/account/2fa/recovery-codes/")
    with page.expect_download() as download:
        page.get_by_role("link", name="Download codes").click()
    codes = Path(download.value.path()).read_text().split()
    assert len(codes) == 10
    sign_out(site, page)
    page.goto(f"{site.app1}/report?x=1")
    site.fill_in(page, person)
    expect(page.get_by_role("heading", level=1)).to_have_text("One more step")
    page.get_by_label("Code").fill(codes[0])
    page.get_by_role("button", name="Go on").click()
    page.get_by_role("button", name="Don't Trust").click()
    page.wait_for_url(f"{site.app1}/report?x=1")
    assert known_how(site, context) == ["pwd", "otp", "mfa"]


@pytest.mark.asvs("7.4.5", "7.5.2")
def test_ending_another_sign_in_signs_that_browser_out_at_an_app_within_a_second(
    site: Family, browser: Browser, page: Page, person: str
) -> None:
    other = browser.new_context()
    there = other.new_page()
    site.sign_in(there, person)
    sign_in(site, page, person)
    page.wait_for_url(f"{site.hub.origin}/")
    page.goto(f"{site.hub.origin}/account/sessions/")
    expect(page.get_by_text("(just now), last seen")).to_have_count(2)
    page.get_by_role("button", name="End HeadlessChrome").click()
    confirm(page)
    page.get_by_role("button", name="End HeadlessChrome").click()
    expect(page.get_by_text("1 sign-in has ended.")).to_be_visible()
    page.wait_for_timeout(1000)
    there.goto(site.app1)
    expect(there.locator("#who")).to_have_text("nobody")
    expect(page.get_by_text("(just now), last seen")).to_have_count(1)
    other.close()


def test_the_strength_of_a_new_password_is_told_while_typing(site: Family, page: Page, person: str) -> None:
    sign_in(site, page, person)
    page.wait_for_url(f"{site.hub.origin}/")
    page.goto(f"{site.hub.origin}/account/password/")
    confirm(page)
    new = page.get_by_label("New password", exact=True)
    for typed, said in (("kettle", "Too short."), ("a" * 20, "Weak"), ("seven brave kettles sing", "Good.")):
        new.fill(typed)
        expect(page.locator(".field", has=new).get_by_role("status")).to_contain_text(said)


PAGES = ("", "email/", "password/", "2fa/", "passkeys/", "passkeys/add/", "2fa/totp/activate/", "sessions/")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_every_page_of_the_account_fits_and_breaks_no_rule(
    site: Family, page: Page, person: str, width: int, scheme: Any
) -> None:
    said: list[str] = []
    page.on("console", lambda m: said.append(m.text) if m.type in ("error", "warning") else None)
    page.set_viewport_size({"width": width, "height": 800})
    page.emulate_media(color_scheme=scheme)
    sign_in(site, page, person)
    page.wait_for_url(f"{site.hub.origin}/")
    page.goto(f"{site.hub.origin}/account/password/")
    confirm(page)
    for path in PAGES:
        page.goto(f"{site.hub.origin}/account/{path}")
        assert page.url.endswith(f"/account/{path}")
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), path
        assert axe.problems(page) == [], path
    assert said == []
