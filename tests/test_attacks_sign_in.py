"""Attacks on sign-ins that take several steps: what was proved for one may never count for another."""

from __future__ import annotations

import re
from typing import Any

import pytest
from allauth.mfa.totp.internal.auth import TOTP, format_hotp_value, hotp_value, yield_hotp_counters_from_time
from django.conf import settings
from django.test import Client

from accounts.models import User
from sso import sign_ins
from sso.redis import client as redis_client
from sso.redis import keys
from tests.support.security_key import SecurityKey

pytestmark = pytest.mark.django_db(transaction=True)


PASSWORD = "correct horse battery staple"
SECRET = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"


def new_browser() -> Client:
    hub = settings.SSO_SITES.primary.hub
    return Client(REMOTE_ADDR="203.0.113.7", headers={"host": hub.netloc, "origin": str(hub)})


def post(browser: Client, **body: Any) -> Any:
    return browser.post("/api/session", body, content_type="application/json", secure=True)


def code_now() -> str:
    return str(format_hotp_value(hotp_value(SECRET, next(iter(yield_hotp_counters_from_time())))))


def hub_sessions() -> list[bytes]:
    return list(redis_client().scan_iter(match=keys().hub("*")))


@pytest.fixture
def ada() -> User:
    return User.objects.create_user("ada", "ada@example.com", PASSWORD)


@pytest.fixture
def mallory() -> User:
    return User.objects.create_user("mallory", "mallory@example.com", PASSWORD)


@pytest.fixture
def browser() -> Client:
    return new_browser()


def new_key() -> SecurityKey:
    primary = settings.SSO_SITES.primary
    return SecurityKey(primary.domain, str(primary.hub))


def wanted(browser: Client, **body: Any) -> dict[str, Any]:
    answer = post(browser, **body)
    assert answer.status_code == 401, answer.content
    asked: dict[str, Any] = answer.json()["webauthn"]
    return asked


def test_a_passkey_whose_pin_was_given_signs_in_alone(browser: Client, ada: User) -> None:
    key = new_key()
    key.belongs_to(ada)
    answer = post(browser, credential=key.sign(wanted(browser, passkey=True), ada, pin=True))
    assert (answer.status_code, answer.json()["amr"]) == (200, ["hwk", "mfa"])


def test_a_security_key_that_was_only_touched_is_a_second_factor(browser: Client, ada: User) -> None:
    key = new_key()
    key.belongs_to(ada)
    options = wanted(browser, username="ada", password=PASSWORD)
    answer = post(browser, credential=key.sign(options, ada, pin=False))
    assert (answer.status_code, answer.json()["amr"]) == (200, ["pwd", "hwk", "mfa"])


@pytest.mark.asvs("6.3.4")
def test_a_stolen_key_without_its_pin_never_signs_in_alone_whoever_asked_for_the_challenge(
    browser: Client, ada: User, mallory: User
) -> None:
    """A challenge for a second factor asks for no PIN: Mallory begins with her own password, then changes course."""
    stolen, own = new_key(), new_key()
    stolen.belongs_to(ada)
    own.belongs_to(mallory)
    options = wanted(browser, username="mallory", password=PASSWORD)
    post(browser, send_code_to="nobody@example.com")  # leaves the step, not the challenge
    answer = post(browser, credential=stolen.sign(options, ada, pin=False))
    assert answer.status_code == 401, answer.content
    assert sign_ins.listing(str(ada.pk)) == []


@pytest.mark.asvs("6.3.4")
def test_a_key_of_somebody_else_is_no_second_factor(browser: Client, ada: User, mallory: User) -> None:
    stolen, own = new_key(), new_key()
    stolen.belongs_to(ada)
    own.belongs_to(mallory)
    options = wanted(browser, username="ada", password=PASSWORD)
    assert post(browser, credential=own.sign(options, mallory, pin=True)).status_code == 401
    assert sign_ins.listing(str(ada.pk)) == []


@pytest.mark.asvs("6.3.4", "6.8.4")
def test_factors_of_an_earlier_sign_in_do_not_vouch_for_the_next(browser: Client, ada: User) -> None:
    """Signed in with a passkey a while ago, now only the password is typed: apps must not be told of a passkey."""
    key = new_key()
    factor = key.belongs_to(ada)
    assert post(browser, credential=key.sign(wanted(browser, passkey=True), ada, pin=True)).status_code == 200
    answer = post(browser, username="ada", password=PASSWORD)
    assert (answer.status_code, answer.json()["error"]) == (401, "mfa_required")
    factor.delete()
    answer = post(browser, username="ada", password=PASSWORD)
    assert (answer.status_code, answer.json()["amr"]) == (200, ["pwd"])


def test_a_password_does_not_vouch_for_a_later_passkey(browser: Client, ada: User) -> None:
    assert post(browser, username="ada", password=PASSWORD).status_code == 200
    key = new_key()
    key.belongs_to(ada)
    answer = post(browser, credential=key.sign(wanted(browser, passkey=True), ada, pin=True))
    assert (answer.status_code, answer.json()["amr"]) == (200, ["hwk", "mfa"])


@pytest.mark.asvs("6.3.4")
def test_the_code_of_one_person_never_completes_the_password_of_another(
    browser: Client, ada: User, mallory: User
) -> None:
    TOTP.activate(ada, SECRET)
    TOTP.activate(mallory, "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ")
    post(browser, username="mallory", password=PASSWORD)
    post(browser, username="ada", password="not the password of ada")
    assert post(browser, code=code_now()).status_code == 401
    assert sign_ins.listing(str(ada.pk)) == sign_ins.listing(str(mallory.pk)) == []


@pytest.mark.asvs("6.3.4")
def test_a_passkey_of_an_earlier_sign_in_does_not_stand_in_for_the_factor_after_a_mailed_code(
    browser: Client, ada: User
) -> None:
    key = new_key()
    key.belongs_to(ada)
    assert post(browser, credential=key.sign(wanted(browser, passkey=True), ada, pin=True)).status_code == 200
    post(browser, send_code_to="ada@example.com")
    answer = post(browser, code=mailed_code())
    assert (answer.status_code, answer.json()["error"]) == (401, "mfa_required")


def mailed_code() -> str:
    """As the unfinished session knows it."""
    found = [re.search(rb'"code":"([^"]+)"', redis_client().get(key)) for key in hub_sessions()]
    return next(match[1].decode() for match in found if match)


def test_strangers_cannot_fill_redis_with_sign_ins_they_never_finish() -> None:
    answers = [post(new_browser(), passkey=True).status_code for _ in range(200)]
    assert answers[:100] == [401] * 100
    assert answers[-1] == 429
    assert len(hub_sessions()) < 150
