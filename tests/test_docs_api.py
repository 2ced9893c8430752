"""``docs/http-api.md`` names every endpoint, error code and number there is, and nothing else."""

import re
from collections.abc import Iterator

import pytest

from accounts import authentication, throttle
from sso import errors
from sso.api import errors as api_errors
from sso.api import openapi
from sso.edge import errors as edge_errors
from sso.oidc import answers as oidc_answers
from sso.oidc import errors as oidc_errors
from tests.support.programs import ROOT

PAGE = (ROOT / "docs" / "http-api.md").read_text()


def family(kind: type[errors.SSOError] = errors.SSOError) -> Iterator[type[errors.SSOError]]:
    """Every error of ours, at any depth."""
    for child in kind.__subclasses__():
        if child.__module__.startswith(("sso.", "accounts.")):
            yield child
            yield from family(child)


def test_the_table_of_errors_is_the_family_of_errors() -> None:
    assert edge_errors.InvalidClient in family(), api_errors.__name__
    assert {oidc_answers.Refused, oidc_errors.AuthorizationRefused} <= set(family())
    table = set(re.findall(r"^\| `([a-z_]+)` \| (\d{3}) \|", PAGE, re.M))

    assert table == {(kind.code, str(kind.status)) for kind in family()}


def test_the_headings_are_the_endpoints() -> None:
    headings = set(re.findall(r"^### `(.+)`$", PAGE, re.M))

    assert headings == set(_described())


def _described() -> Iterator[str]:
    for path, methods in openapi.paths().items():
        if path.startswith("/api/authz/"):
            yield path
        else:
            yield from (f"{method.upper()} {path}" for method in methods)


def test_every_code_the_text_speaks_of_exists() -> None:
    spoken = set(re.findall(r"\b[45]\d\d\n? ?`([a-z_]+)`", PAGE))

    assert spoken
    assert spoken <= {kind.code for kind in family()}


@pytest.mark.asvs("6.1.1")
@pytest.mark.parametrize(
    "sentence",
    [
        f"has {throttle.FREE} tries, then growing waits: {throttle.FIRST_WAIT} s, 2 s, 4 s",
        f"up to {throttle.LONGEST_WAIT // 60} minutes",
        f"are looked at {throttle.FREE} times",
        f"has {throttle.ADDRESS_BURST} tries in one go and gets one back every {throttle.ADDRESS_INTERVAL} seconds",
        f"(within {throttle.KNOWN // 86400} days), they have {throttle.FREE} tries",
        f"waits longer than {authentication.LONGEST_QUEUE:.0f} seconds for a turn",
    ],
)
def test_the_numbers_of_throttling_are_the_real_ones(sentence: str) -> None:
    assert sentence in " ".join(PAGE.split())


@pytest.mark.asvs("6.1.1")
def test_a_day_is_how_long_tries_are_remembered() -> None:
    assert throttle.MEMORY == 86400
    assert "a day after the last try" in " ".join(PAGE.split())
