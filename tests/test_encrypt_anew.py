"""``SECRET_KEY`` is rotated for real: new key, ``encrypt_anew``, old key gone, and nothing is lost."""

from __future__ import annotations

import io
from typing import Any

import pytest
from allauth.mfa.models import Authenticator
from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes
from allauth.mfa.totp.internal.auth import TOTP
from cryptography.fernet import InvalidToken
from django.core.management import call_command
from django.core.management.base import CommandError

from accounts import sealing
from accounts.mail import mailing
from accounts.models import User
from accounts.records import OutgoingMail
from tests.support.mailbox import delivered
from tests.test_api_steps import PASSWORD, SECRET, code_now, new_browser, post

pytestmark = pytest.mark.django_db(transaction=True)

NEW = "another-key-of-more-than-fifty-characters-0123456789-abcdefgh"


@pytest.fixture
def ada() -> User:
    """Somebody with an app for codes, recovery codes, and a mail on its way."""
    ada = User.objects.create_user("ada", "ada@example.com", PASSWORD)
    TOTP.activate(ada, SECRET)
    RecoveryCodes.activate(ada)
    mailing.write("accounts/email/account_deleted", "ada@example.com", {"name": "Ada"})
    return ada


def renewed(**options: Any) -> str:
    said = io.StringIO()
    call_command("encrypt_anew", stdout=said, **options)
    return said.getvalue()


def rotate(settings: Any) -> None:
    settings.SECRET_KEY_FALLBACKS = [settings.SECRET_KEY]
    settings.SECRET_KEY = NEW


def signs_in() -> int:
    browser = new_browser()
    post(browser, username="ada", password=PASSWORD)
    return int(post(browser, code=code_now()).status_code)


def test_after_a_rotation_the_old_key_can_go_and_nothing_is_lost(ada: User, settings: Any) -> None:
    recovery = RecoveryCodes(Authenticator.objects.get(type="recovery_codes")).get_unused_codes()
    rotate(settings)
    assert "1 encrypted anew" in renewed()
    settings.SECRET_KEY_FALLBACKS = []
    assert signs_in() == 200
    kept = RecoveryCodes(Authenticator.objects.get(type="recovery_codes"))
    assert kept.get_unused_codes() == recovery
    assert [letter.to for letter in delivered()][:1] == [["ada@example.com"]]


def test_without_it_the_old_key_is_needed(ada: User, settings: Any) -> None:
    rotate(settings)
    settings.SECRET_KEY_FALLBACKS = []
    with pytest.raises(InvalidToken):
        RecoveryCodes(Authenticator.objects.get(type="recovery_codes")).get_unused_codes()


def test_it_says_how_far_it_has_come_and_a_second_run_changes_nothing(ada: User, settings: Any) -> None:
    rotate(settings)
    said = renewed(step=1)
    assert "secrets of one-time codes: 2 looked at …" in said
    assert "secrets of one-time codes: 2 encrypted anew, 0 were already, 0 unreadable." in said
    assert "Run this once more" in said
    before = list(Authenticator.objects.values_list("data", flat=True))
    again = renewed()
    assert "secrets of one-time codes: 0 encrypted anew, 2 were already" in again
    assert "the older keys can go" in again
    assert before == list(Authenticator.objects.values_list("data", flat=True))


def test_what_no_key_opens_is_said_and_left_as_it_is(ada: User, settings: Any) -> None:
    settings.SECRET_KEY = NEW
    before = list(Authenticator.objects.values_list("data", flat=True))
    with pytest.raises(CommandError, match=r"3 could be read with no key.*SECRET_KEY_FALLBACKS"):
        renewed()
    assert before == list(Authenticator.objects.values_list("data", flat=True))


def test_a_used_recovery_code_stays_used(ada: User, settings: Any) -> None:
    codes = RecoveryCodes(Authenticator.objects.get(type="recovery_codes"))
    spent = codes.get_unused_codes()[0]
    assert codes.validate_code(spent)
    rotate(settings)
    renewed()
    assert spent not in RecoveryCodes(Authenticator.objects.get(type="recovery_codes")).get_unused_codes()


def test_every_column_that_holds_a_sealed_text_is_said_to_be_kept(ada: User) -> None:
    """A new purpose of ``sealing.keys`` needs its ``sealing.kept``, or a rotation loses it."""
    import re

    from tests.support.programs import ROOT

    sources = [p.read_text() for folder in ("accounts", "sso") for p in (ROOT / folder).rglob("*.py")]
    sealed = {source for source in sources if re.search(r"sealing\.keys\(\w+\)\.encrypt\(", source)}
    assert len(sealed) >= 2
    assert [source[:80] for source in sealed if "sealing.kept(" not in source] == []
    assert OutgoingMail.objects.count() == 1
    assert {"secrets of one-time codes", "mail that waits"} <= {one.name for one in sealing.everything_kept()}
