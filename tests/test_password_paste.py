"""Passwords come from managers: they are pasted and filled in, in a real browser."""

import pytest
from playwright.sync_api import Page

from tests.support.auth_server import AuthServer

PASSWORD = "  seven brave kettles sing \u00e9"


@pytest.mark.asvs("6.2.7")
def test_a_password_is_pasted_whole(auth_server: AuthServer, page: Page) -> None:
    page.goto(f"{auth_server.origin}/login/")
    page.fill("#id_username", PASSWORD)
    page.focus("#id_username")
    page.keyboard.press("Control+A")
    page.keyboard.press("Control+X")
    assert page.input_value("#id_username") == ""
    page.focus("#id_password")
    page.keyboard.press("Control+V")
    assert page.input_value("#id_password") == PASSWORD
