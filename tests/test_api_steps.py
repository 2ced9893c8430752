"""Signing in by JSON, step by step: second factors, mailed codes, and what lies between two steps."""

from __future__ import annotations

import json
import re
import time
from base64 import urlsafe_b64encode
from typing import Any

import pytest
from allauth.mfa.models import Authenticator
from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes
from allauth.mfa.totp.internal.auth import TOTP, format_hotp_value, hotp_value, yield_hotp_counters_from_time
from django.conf import settings
from django.core import mail
from django.core.exceptions import ValidationError
from django.test import Client

from accounts.factor_forms import refuse_foreign
from accounts.mail import outbox
from accounts.models import User
from sso import sign_ins
from sso.models import RelyingApp
from sso.redis import client as redis_client
from sso.redis import keys
from sso.registration import register

pytestmark = pytest.mark.django_db(transaction=True)

PASSWORD = "correct horse battery staple"
SECRET = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"


@pytest.fixture
def ada() -> User:
    return User.objects.create_user("ada", "ada@example.com", PASSWORD)


@pytest.fixture
def with_codes(ada: User) -> User:
    TOTP.activate(ada, SECRET)
    RecoveryCodes.activate(ada)
    return ada


@pytest.fixture
def browser() -> Client:
    return new_browser()


def new_browser() -> Client:
    hub = settings.SSO_SITES.primary.hub
    return Client(REMOTE_ADDR="203.0.113.7", headers={"host": hub.netloc, "origin": str(hub)})


def post(browser: Client, **body: Any) -> Any:
    return browser.post("/api/session", body, content_type="application/json", secure=True)


def code_now() -> str:
    """A code that is good for some seconds yet: a step that ends between making and sending it fails nobody."""
    if (left := 30 - time.time() % 30) < 4:
        time.sleep(left)
    return str(format_hotp_value(hotp_value(SECRET, next(iter(yield_hotp_counters_from_time())))))


def shared_sessions() -> list[bytes]:
    return list(redis_client().scan_iter(match=keys().session("*")))


@pytest.mark.asvs("6.3.3")
def test_a_password_alone_is_not_enough_for_somebody_with_a_second_factor(
    browser: Client, with_codes: User
) -> None:
    answer = post(browser, username="ada", password=PASSWORD)
    assert answer.status_code == 401
    assert answer.json()["error"] == "mfa_required"
    assert answer.json()["methods"] == ["recovery_codes", "totp"]
    assert shared_sessions() == []
    assert sign_ins.listing(str(with_codes.pk)) == []
    assert "__Secure-sso_session" not in str(answer.cookies)
    assert browser.get("/api/sessions", secure=True).status_code == 401


@pytest.mark.asvs("6.3.3", "6.8.4")
def test_the_code_completes_the_sign_in_and_apps_are_told_how(browser: Client, with_codes: User) -> None:
    post(browser, username="ada", password=PASSWORD, remember=True)
    answer = post(browser, code=code_now())
    assert answer.status_code == 200, answer.content
    assert answer.json()["amr"] == ["pwd", "otp", "mfa"]
    assert sign_ins.listing(str(with_codes.pk))[0].remember
    assert len(shared_sessions()) == 1


@pytest.mark.asvs("6.5.1")
def test_a_recovery_code_works_once(browser: Client, with_codes: User) -> None:
    codes = Authenticator.objects.get(user=with_codes, type="recovery_codes").wrap().get_unused_codes()
    for expected in (200, 401):
        post(browser, username="ada", password=PASSWORD)
        assert post(browser, code=codes[0]).status_code == expected


@pytest.mark.parametrize("guess", ["000000", "", "123", "۱۲۳۴۵۶", "x" * 64])
def test_a_wrong_code_leaves_the_step_open_and_nobody_signed_in(
    browser: Client, with_codes: User, guess: str
) -> None:
    post(browser, username="ada", password=PASSWORD)
    answer = post(browser, code=guess)
    assert (answer.status_code, answer.json()["error"]) == (401, "bad_credentials")
    assert shared_sessions() == []
    assert post(browser, code=code_now()).status_code == 200


@pytest.mark.asvs("6.3.1", "6.6.3")
def test_a_hundred_guesses_are_stopped(browser: Client, with_codes: User) -> None:
    post(browser, username="ada", password=PASSWORD)
    for number in range(100):
        assert post(browser, code=f"{number:06d}").status_code in (401, 429)
    assert post(browser, code=code_now()).status_code in (401, 429)


@pytest.mark.parametrize(
    "body",
    [
        {"code": "123456"},
        {"credential": {}},
        {"credential": {"id": "x"}},
        {"credential": {"id": "eA", "rawId": "eA", "response": {"clientDataJSON": "e30"}}},
        {"credential": {"id": "eA", "rawId": "eA", "response": {"clientDataJSON": [[]]}}},
    ],
)
def test_a_later_step_without_the_first_is_refused(browser: Client, ada: User, body: dict[str, Any]) -> None:
    answer = post(browser, **body)
    assert (answer.status_code, answer.json()["error"]) == (401, "bad_credentials")


@pytest.mark.parametrize(
    "body",
    [
        {"code": 123456},
        {"code": "1", "password": "x"},
        {"credential": "x"},
        {"passkey": False},
        {"code": None},
    ],
)
def test_a_step_of_another_shape_is_refused(browser: Client, body: dict[str, Any]) -> None:
    assert post(browser, **body).status_code == 400


def test_somebody_disabled_between_two_steps_stays_out(browser: Client, with_codes: User) -> None:
    post(browser, username="ada", password=PASSWORD)
    User.objects.filter(pk=with_codes.pk).update(is_active=False)
    assert post(browser, code=code_now()).status_code == 401
    assert shared_sessions() == []


@pytest.mark.asvs("6.8.4")
def test_a_mailed_code_signs_in_and_apps_are_told_how(browser: Client, ada: User) -> None:
    asked = post(browser, username="ada", password=PASSWORD)
    assert asked.status_code == 200
    fresh = Client(
        REMOTE_ADDR="203.0.113.8",
        headers=dict(browser.defaults and {"host": settings.SSO_SITES.primary.hub.netloc}),
    )
    answer = post(fresh, send_code_to="ada@example.com")
    assert (answer.status_code, answer.json()["error"]) == (401, "code_required")
    outbox.send_due()
    code = re.findall(r"^\s*([A-Z0-9]{4,}(?:-[A-Z0-9]+)*)\s*$", mail.outbox[-1].body, re.MULTILINE)[0]
    assert post(fresh, code="AAAAAA").status_code == 401
    answer = post(fresh, code=code)
    assert answer.status_code == 200, answer.content
    assert answer.json()["amr"] == ["email"]


@pytest.mark.asvs("6.3.8")
def test_asking_for_a_code_tells_nobody_who_has_an_account(browser: Client, ada: User) -> None:
    known = post(browser, send_code_to="ada@example.com")
    unknown = post(browser, send_code_to="nobody@example.com")
    assert (known.status_code, known.content) == (unknown.status_code, unknown.content)
    assert post(browser, code="123456").status_code == 401


def test_a_passkey_step_hands_out_a_fresh_challenge_for_the_sites_domain(browser: Client, ada: User) -> None:
    first, second = (post(browser, passkey=True).json() for _ in range(2))
    assert first["error"] == "passkey_required"
    options = first["webauthn"]["publicKey"]
    assert options["rpId"] == settings.SSO_SITES.primary.domain
    assert options["userVerification"] == "required"
    assert options["challenge"] != second["webauthn"]["publicKey"]["challenge"]


def credential_of(origin: str) -> dict[str, Any]:
    signed = json.dumps({"type": "webauthn.get", "challenge": "eA", "origin": origin}).encode()
    return {"response": {"clientDataJSON": urlsafe_b64encode(signed).decode().rstrip("=")}}


@pytest.mark.parametrize(
    ("origin", "asked_by_us"),
    [
        pytest.param(str(settings.SSO_SITES.primary.hub), True, id="our hub"),
        pytest.param("https://shop.example.com", False, id="a registered app"),
        pytest.param("https://blog.example.com", False, id="a sibling that is not registered"),
        pytest.param("https://auth.example.com.evil.test", False, id="another site"),
        pytest.param("http://auth.example.com", False, id="another scheme"),
        pytest.param("null", False, id="null"),
    ],
)
def test_only_our_own_pages_may_have_a_passkey_sign(origin: str, asked_by_us: bool) -> None:
    register(RelyingApp(name="shop", origins=["https://shop.example.com"]))
    if asked_by_us:
        refuse_foreign(credential_of(origin))
    else:
        with pytest.raises(ValidationError):
            refuse_foreign(credential_of(origin))
