"""``docs/oidc.md`` names every endpoint, claim, scope and number there is."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from sso.oidc import claims, discovery, extensions, grant_store, keys, urls
from tests.support.programs import ROOT

PAGE = (ROOT / "docs" / "oidc.md").read_text()


def section(title: str) -> str:
    return re.split(r"^##+ ", PAGE.split(f"# {title}\n")[1], flags=re.M)[0]


def test_the_table_of_endpoints_is_the_endpoints() -> None:
    table = set(re.findall(r"^\| `(/[^`]+)` \|", section("Endpoints"), re.M))
    ours = {f"/{pattern.pattern}" for pattern in urls.urlpatterns} - {"/oauth/logout/confirm"}
    assert table == ours


def test_every_endpoint_that_discovery_names_is_there() -> None:
    found = {urlsplit(value).path for value in discovery.document().values() if str(value).startswith("http")}
    assert found - {""} <= set(re.findall(r"`(/[^`]+)`", section("Endpoints")))


def test_every_claim_and_scope_is_explained() -> None:
    rows = re.findall(r"^\| (`.+?) \| `(\w+)` \|", section("What the app learns"), re.M)
    told = {name for names, _ in rows for name in re.findall(r"`(\w+)`", names)}
    assert told == {*claims.SUPPORTED, "act"}
    assert {scope for _, scope in rows} == set(claims.SCOPES)


def test_the_numbers_are_those_of_the_code() -> None:
    assert (grant_store.CODE_LIFE, grant_store.ACCESS_LIFE, extensions.ID_TOKEN_LIFE) == (60, 600, 600)
    assert "for 60 seconds" in PAGE
    assert "good for ten minutes" in PAGE
    assert (keys.SIGNS_FOR.days, keys.AHEAD.days, keys.STAYS.days, keys.BITS) == (90, 1, 31, 3072)
    assert "Every 90 days" in PAGE
    assert "the old one for 31 days after" in PAGE
