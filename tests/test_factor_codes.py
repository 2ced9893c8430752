"""One-time codes of apps, of recovery and by mail: once, for a while, for who asked, and unreadable at rest."""

from __future__ import annotations

import json
import re
import time
from math import log2
from typing import Any

import pytest
from allauth.account.adapter import get_adapter
from allauth.mfa.models import Authenticator
from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes
from allauth.mfa.totp.internal.auth import TOTP, format_hotp_value, generate_totp_secret, hotp_value
from django.test import Client
from pytest_django import Settings

from accounts import throttle
from accounts.models import User
from sso import sign_ins
from sso.audit.models import AuditEvent
from tests.support.mailbox import delivered
from tests.test_api_steps import PASSWORD, SECRET, code_now, new_browser, post, shared_sessions

pytestmark = pytest.mark.django_db(transaction=True)

#: Seconds a code of an app lives (RFC 6238 §5.2), and the most a mailed one may (ASVS 5.0 6.5.5).
STEP, LONGEST = 30, 600


@pytest.fixture
def ada() -> User:
    """Somebody whose address counts as hers: she was here before."""
    user = User.objects.create_user("ada", "ada@example.com", PASSWORD)
    assert post(new_browser(), username="ada", password=PASSWORD).status_code == 200
    sign_ins.end_all(str(user.pk))
    return user


@pytest.fixture
def with_app(ada: User) -> User:
    TOTP.activate(ada, SECRET)
    return ada


def second_step(code: str) -> int:
    """The status of a fresh browser's answer to the password and then this code."""
    browser = new_browser()
    post(browser, username="ada", password=PASSWORD)
    return int(post(browser, code=code).status_code)


def steady_code() -> str:
    """A code that is good for some seconds yet."""
    if (left := STEP - time.time() % STEP) < 4:
        time.sleep(left)
    return code_now()


def code_at(seconds_from_now: int) -> str:
    return str(format_hotp_value(hotp_value(SECRET, int(time.time() + seconds_from_now) // STEP)))


def asked_by_mail() -> tuple[Client, str]:
    """A browser that asked for a code, and the code."""
    browser = new_browser()
    answer = post(browser, send_code_to="ada@example.com")
    assert answer.json()["error"] == "code_required"
    [letter] = delivered()
    [code] = re.findall(r"^\s*([A-Z0-9]{4,}(?:-[A-Z0-9]+)*)\s*$", str(letter.body), re.MULTILINE)
    return browser, code


def signs_in(browser: Client, code: str) -> bool:
    answer: Any = post(browser, code=code)
    assert answer.status_code in (200, 401, 429), answer.content
    return bool(answer.status_code == 200)


@pytest.mark.asvs("6.5.1")
def test_a_code_of_an_app_works_once_though_it_is_still_shown(with_app: User) -> None:
    code = steady_code()
    assert [second_step(code), second_step(code)] == [200, 401]


@pytest.mark.asvs("6.5.5")
@pytest.mark.parametrize("away", [-STEP, -10 * STEP, 2 * STEP])
def test_a_code_of_another_half_minute_is_wrong(with_app: User, away: int) -> None:
    assert second_step(code_at(away)) == 401
    assert shared_sessions() == []


@pytest.mark.asvs("6.5.1")
def test_a_mailed_code_works_once(ada: User) -> None:
    browser, code = asked_by_mail()
    assert signs_in(browser, code)
    assert not signs_in(browser, code)
    again, _ = asked_by_mail()
    assert not signs_in(again, code)


@pytest.mark.asvs("6.6.2")
def test_a_mailed_code_is_worth_nothing_in_a_browser_that_did_not_ask_for_it(ada: User) -> None:
    mine, code = asked_by_mail()
    other, _ = asked_by_mail()
    for foreign in (new_browser(), other):
        assert not signs_in(foreign, code)
    assert signs_in(mine, code)


@pytest.mark.asvs("6.5.5")
def test_a_mailed_code_dies_within_ten_minutes(ada: User, settings: Settings) -> None:
    from allauth.account import app_settings

    assert app_settings.LOGIN_BY_CODE_TIMEOUT <= LONGEST
    settings.ACCOUNT_LOGIN_BY_CODE_TIMEOUT = 1
    browser, code = asked_by_mail()
    time.sleep(1.1)
    assert not signs_in(browser, code)


@pytest.mark.asvs("6.6.3")
def test_a_mailed_code_does_not_survive_guessing(ada: User) -> None:
    browser, code = asked_by_mail()
    for guess in ("AAAAAA", "BBBBBB", "CCCCCC"):
        assert not signs_in(browser, guess)
    assert not signs_in(browser, code)


@pytest.mark.asvs("6.5.3", "6.5.4")
def test_codes_and_their_seeds_never_repeat_and_have_twenty_bits_and_more(ada: User) -> None:
    seeds = {generate_totp_secret() for _ in range(1000)} | {
        RecoveryCodes.generate_seed() for _ in range(1000)
    }
    assert len(seeds) == 2000
    assert min(map(len, seeds)) * log2(32) >= 160
    mailed = [get_adapter().generate_login_code().replace("-", "") for _ in range(1000)]
    assert len(set(mailed)) == len(mailed)
    assert min(map(len, mailed)) * log2(len(set("".join(mailed)))) >= 20
    recovery = RecoveryCodes.activate(ada).get_unused_codes()
    assert len(set(recovery)) == len(recovery) >= 8
    assert min(map(len, recovery)) * log2(10) >= 20


@pytest.mark.asvs("6.5.2")
def test_the_database_shows_no_seed_and_no_code(with_app: User) -> None:
    codes = RecoveryCodes.activate(with_app).get_unused_codes()
    kept = json.dumps(list(Authenticator.objects.values("type", "data")))
    assert '"seed"' in kept
    assert [secret for secret in (SECRET, *codes) if secret in kept] == []


# -- guesses are counted and written down like those at passwords


def recorded(event: str, whose: User) -> int:
    return AuditEvent.objects.filter(event=event, subject_id=str(whose.pk)).count()


@pytest.mark.asvs("6.6.3")
def test_guesses_at_a_second_factor_wait_longer_and_longer_in_whatever_browser(with_app: User) -> None:
    answers = [second_step(f"{number:06}") for number in range(8)]
    assert 429 in answers
    assert set(answers) <= {401, 429}
    assert recorded("second_factor_refused", with_app) == answers.count(401)
    assert second_step(steady_code()) in (401, 429), "also the right code waits"


@pytest.mark.asvs("6.6.3")
def test_guesses_at_mailed_codes_wait_whoever_has_the_address(
    ada: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("MAIL_BURST", "MAILBOX_BURST"):
        monkeypatch.setattr(throttle, name, 1000)
    for email in ("ada@example.com", "nobody@example.com"):
        answers = []
        for _ in range(4):
            browser = new_browser()
            post(browser, send_code_to=email)
            answers += [post(browser, code=guess).status_code for guess in ("AAAAAA", "BBBBBB")]
        assert answers == [401] * 5 + [429] * 3, email
    assert recorded("sign_in_refused", ada) == 5


@pytest.mark.asvs("6.6.3")
def test_a_mailbox_is_not_flooded_with_codes_by_the_api_either(ada: User) -> None:
    answers = [post(new_browser(), send_code_to="ada@example.com").status_code for _ in range(8)]
    assert answers[-1] == 429
    assert len(delivered()) <= 5
