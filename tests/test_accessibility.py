"""Every page that anybody can get, in Chromium: rules of accessibility, sizes, light and dark, nothing missing.

A page that is new needs a visit in ``tests/support/tour_of_people.py`` or ``tour_of_admin.py``: routes are counted.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, cast

import pytest
from playwright.sync_api import Browser, Page

from tests.support import axe, tour_of_admin, tour_of_people
from tests.support.tour import Kept, Shown, Tour, every_route

pytestmark = [pytest.mark.django_db, pytest.mark.timeout(600)]

#: Routes that never answer with a page, by what begins their pattern.
NO_PAGE = {
    "for programs": r"api/|\^api/|healthz|readyz|\.well-known/|oauth/(token|userinfo|revoke)|metrics",
    "redirects": r"admin/(login|logout|password_change)/|.*/to-[a-z-]+/$|oauth/logout/confirm",
    "django's, to redirect": r"admin/.*<path:object_id>/$|admin/r/|admin/password_change/done/",
    "data for scripts": r"admin/(autocomplete|jsi18n|search)/|.*/rules/try/$",
    "files": r"brand/|.*/recovery-codes/download/|admin/audit/export/",
    "answers to a form alone": r"language/|.*/process_import/|admin/sessions/ending/|admin/logouts/.*/retry/",
    "handed to the page beside it": r"login/passkey/",
    "keys that mails do not hold": r"\^email/verify/",
    "whatever is nowhere": r"admin/\(\?P<url>",
}
WIDTHS, SCHEMES = (390, 1280), ("light", "dark")


@pytest.fixture(scope="module")
def tour(django_db_setup: None, django_db_blocker: Any) -> Iterator[Tour]:
    """Walked once. Playwright keeps an event loop, in which Django guards its database: not against us."""
    from django.core.management import call_command

    from sso.audit import keeping
    from sso.redis import client

    with pytest.MonkeyPatch.context() as patch, django_db_blocker.unblock():
        patch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "1")
        client().flushdb()
        keeping.forget_waiting()
        made = Tour()
        try:
            tour_of_people.walk(made)
            tour_of_admin.walk(made)
        finally:
            call_command("flush", verbosity=0, interactive=False)
        yield made


@pytest.fixture(scope="module")
def page(tour: Tour, browser: Browser) -> Iterator[Page]:
    context = browser.new_context()
    yield context.new_page()
    context.close()


def looks(shown: Shown, kept: Kept) -> Iterator[tuple[int, str]]:
    """The page at each size and in each scheme. The admin takes up a scheme while it loads."""
    for scheme in SCHEMES:
        shown.page.emulate_media(color_scheme=cast(Any, scheme), reduced_motion="reduce")
        if scheme == SCHEMES[0] or kept.name.startswith("admin:"):
            shown.show(kept)
        for width in WIDTHS:
            shown.page.set_viewport_size({"width": width, "height": 800})
            yield width, scheme


def wrong_with(shown: Shown, kept: Kept) -> list[str]:
    """All that is wrong with how a page looks."""
    found = []
    for width, scheme in looks(shown, kept):
        rules = axe.RULES if scheme == SCHEMES[0] else axe.COLOURS
        at = f"{kept.name}, {width} {scheme}"
        found += [f"{at}: {problem}" for problem in axe.problems(shown.page, only=rules)]
        if shown.page.evaluate("document.documentElement.scrollWidth > innerWidth"):
            found.append(f"{at}: wider than the screen")
    return found


def test_every_route_that_answers_with_a_page_is_visited(tour: Tour) -> None:
    without = re.compile("|".join(f"(?:{pattern})" for pattern in NO_PAGE.values()))
    missing = [route for route in every_route() if route not in tour.routes and not without.match(route)]
    assert missing == []


@pytest.mark.parametrize("half", ["people", "admin"])
def test_no_page_breaks_a_rule_is_too_wide_or_misses_something(tour: Tour, page: Page, half: str) -> None:
    shown, found = Shown(page, tour.data), list[str]()
    for kept in tour.pages:
        if kept.name.startswith("admin:") == (half == "admin"):
            found += wrong_with(shown, kept)
    page.unroute_all()
    assert found == []
    assert shown.complaints == []
