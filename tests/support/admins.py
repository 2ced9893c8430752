"""Administrators: people who may enter the admin, signed in with a second factor."""

from __future__ import annotations

from typing import Any

from allauth.mfa.totp.internal.auth import TOTP
from django.contrib.auth.models import Permission

from accounts.models import User
from tests.support.page_visitor import Visitor

PASSWORD = "correct horse battery staple"
SECRET = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"


def administrator(username: str = "root", *permissions: str, **fields: Any) -> User:
    """Somebody on the staff with an app for codes.

    Without ``permissions`` (``sso.view_sessions``, …) they may do everything.
    """
    options = {"is_staff": True, "is_superuser": not permissions, **fields}
    user = User.objects.create_user(username, f"{username}@example.com", PASSWORD, **options)
    TOTP.activate(user, SECRET)
    for name in permissions:
        label, _, codename = name.partition(".")
        user.user_permissions.add(Permission.objects.get(content_type__app_label=label, codename=codename))
    return user


def signed_in_with_code(visitor: Visitor, username: str = "root") -> Visitor:
    """Password and code, as on the pages; fresh enough for every act."""
    from tests.test_account_pages import early_in_a_step
    from tests.test_api_steps import code_now

    early_in_a_step()
    assert visitor.sign_in(username, PASSWORD)["Location"].startswith("/login/factor/")
    assert visitor.send("/login/factor/", {"code": code_now()})["Location"].startswith("/login/trust/")
    visitor.send("/login/trust/", {"action": "no"})
    return visitor
