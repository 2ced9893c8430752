"""A password of eight characters is good beside a second factor, and never stays behind alone."""

from __future__ import annotations

import threading

import pytest
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal.auth import TOTP
from django.contrib.auth.hashers import make_password
from django.db import connection

from accounts.models import User
from tests.support.page_visitor import Visitor
from tests.test_api_steps import SECRET
from tests.test_factor_codes import steady_code

pytestmark = pytest.mark.django_db(transaction=True)

SHORT, LONG = "v7Qm2xKp", "seven brave kettles sing"
REMOVE, LONGER = "/account/2fa/totp/deactivate/", "/account/password/longer/"


@pytest.fixture
def ada() -> User:
    user = User.objects.create_user("ada", "ada@example.com", SHORT)
    TOTP.activate(user, SECRET)
    return user


def confirmed(password: str) -> Visitor:
    """Signed in with both steps."""
    visitor = Visitor()
    visitor.sign_in("ada", password)
    visitor.send("/login/factor/", {"code": steady_code()})
    visitor.send("/login/trust/", {"action": "skip"})
    return visitor


@pytest.fixture(autouse=True)
def _fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every sign-in counts as confirmed: a code of an app counts once, and its next one is half a minute away."""
    from accounts import borrowed, freshness

    for module in (borrowed, freshness):
        monkeypatch.setattr(module, "is_fresh", lambda request: request.user.is_authenticated)
    monkeypatch.setattr(
        "allauth.account.internal.flows.reauthentication.did_recently_reauthenticate", lambda request: True
    )


def has_factor() -> bool:
    return Authenticator.objects.filter(type=Authenticator.Type.TOTP).exists()


@pytest.mark.parametrize("send", [False, True])
def test_with_a_short_password_the_last_factor_stays_until_there_is_a_longer_one(
    ada: User, send: bool
) -> None:
    visitor = confirmed(SHORT)
    answer = visitor.send(REMOVE, {}, form_of="/account/2fa/") if send else visitor.get(REMOVE)
    assert answer["Location"].startswith(LONGER)
    assert has_factor()


def test_the_longer_password_is_judged_as_if_the_factor_were_gone_and_then_it_may_go(ada: User) -> None:
    visitor = confirmed(SHORT)
    for weak in ("x7Kq2mPz9a", "aaaaaaaaaaaaaaaaaaaa", "ada ada ada ada ada"):
        assert visitor.send(LONGER, {"password1": weak, "next": REMOVE}).status_code == 400
    answer = visitor.send(LONGER, {"password1": LONG, "next": REMOVE})
    assert (answer.status_code, answer["Location"]) == (303, REMOVE)
    visitor.send(REMOVE, {})
    assert not has_factor()
    assert Visitor().sign_in("ada", SHORT).status_code == 401
    assert Visitor().sign_in("ada", LONG)["Location"] == "/"


def test_a_new_password_ends_every_other_sign_in(ada: User) -> None:
    visitor = confirmed(SHORT)
    other = visitor.client.cookies.copy()
    visitor.send(LONGER, {"password1": LONG, "next": REMOVE})
    assert visitor.get("/account/").status_code == 200
    left = Visitor()
    left.client.cookies = other
    assert left.get("/account/").status_code in (302, 303)


def test_with_a_long_password_nobody_is_asked(ada: User) -> None:
    ada.set_password(LONG)
    ada.save()
    visitor = confirmed(LONG)
    assert visitor.get(REMOVE).status_code == 200
    assert visitor.get(LONGER, next=REMOVE)["Location"] == REMOVE
    visitor.send(REMOVE, {})
    assert not has_factor()


def test_it_may_be_the_last_only_of_several(ada: User) -> None:
    visitor = confirmed(SHORT)
    Authenticator.objects.create(user=ada, type=Authenticator.Type.WEBAUTHN, data={"name": "key"})
    assert visitor.get(REMOVE).status_code == 200


# -- how long the password is, is not kept: only whether it is long enough


def test_whether_it_is_long_is_learnt_when_it_is_typed(ada: User) -> None:
    User.objects.filter(pk=ada.pk).update(password=make_password(LONG), long_password="")
    assert not User.objects.get(pk=ada.pk).has_long_password
    assert User.objects.get(pk=ada.pk).check_password(LONG)
    assert User.objects.get(pk=ada.pk).has_long_password


@pytest.mark.parametrize("how", ["hash", "update", "update_fields"])
def test_another_password_is_not_taken_for_long_however_it_was_written(ada: User, how: str) -> None:
    ada.set_password(LONG)
    ada.save()
    assert User.objects.get(pk=ada.pk).has_long_password
    if how == "update":
        User.objects.filter(pk=ada.pk).update(password=make_password(SHORT))
    elif how == "hash":
        ada.password = make_password(SHORT)
        ada.save(update_fields=["password"])
    else:
        ada.set_password(SHORT)
        ada.save(update_fields=["password"])
    assert not User.objects.get(pk=ada.pk).has_long_password


def test_a_wrong_password_teaches_nothing(ada: User) -> None:
    assert not ada.check_password(LONG)
    assert not User.objects.get(pk=ada.pk).has_long_password


def test_of_two_removals_at_once_one_is_the_last(ada: User) -> None:
    visitor = confirmed(SHORT)
    key = Authenticator.objects.create(user=ada, type=Authenticator.Type.WEBAUTHN, data={"name": "key"})
    removals = (REMOVE, f"/account/passkeys/{key.pk}/remove/")

    def remove(path: str) -> None:
        one = Visitor()
        one.client.cookies = visitor.client.cookies.copy()
        one.send(path, {}, form_of="/account/")
        connection.close()

    threads = [threading.Thread(target=remove, args=(path,)) for path in removals]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert Authenticator.objects.filter(user=ada).count() == 1
