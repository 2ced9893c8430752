"""Imports run one way: values know nobody, stores know values, flows know stores, views know flows."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

VALUES = {
    "errors",
    "origins",
    "sites",
    "proxies",
    "return_addresses",
    "keys",
    "access",
    "registry",
    "requests",
    "colours",
    "images",
    "troubles",
    "background",
}
STORES = {
    "redis",
    "cache",
    "sign_in_store",
    "sign_in_index",
    "shared_sessions",
    "hub_sessions",
    "ending",
    "models",
    "identities",
}
FLOWS = {
    "sign_ins",
    "sign_in_search",
    "mass_ending",
    "outbox",
    "registry_publishing",
    "registry_mirror",
    "registration",
    "reconciling",
    "checks",
    "explaining",
    "impersonation",
}


def imports(path: Path) -> Iterator[str]:
    """Modules imported when the file is run, not those for annotations only or inside functions."""
    tree = ast.parse(path.read_text())
    for node in tree.body:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def modules(names: set[str]) -> list[Path]:
    return [ROOT / "sso" / f"{name}.py" for name in sorted(names)]


def touches(path: Path, *forbidden: str) -> list[str]:
    return [name for name in imports(path) if any(name == f or name.startswith(f + ".") for f in forbidden)]


@pytest.mark.parametrize("path", modules(VALUES), ids=lambda p: p.stem)
def test_values_know_neither_django_nor_stores_nor_flows(path: Path) -> None:
    higher = [f"sso.{name}" for name in STORES | FLOWS]
    # For annotations a value may name what Django hands in.
    allowed = {"requests": ["django.http"], "return_addresses": ["django.http", "django.utils"]}
    found = [
        n
        for n in touches(path, "django", "accounts", *higher)
        if not n.startswith(tuple(allowed.get(path.stem, ["-"])))
    ]
    assert found == []


@pytest.mark.parametrize("path", modules(STORES), ids=lambda p: p.stem)
def test_stores_know_no_flow_and_no_view(path: Path) -> None:
    assert touches(path, "accounts", "sso.api", "sso.edge", *[f"sso.{name}" for name in FLOWS]) == []


@pytest.mark.parametrize("path", modules(FLOWS), ids=lambda p: p.stem)
def test_flows_know_no_view(path: Path) -> None:
    assert touches(path, "accounts.views", "accounts.pages", "sso.api", "sso.middleware") == []


@pytest.mark.parametrize(
    "path",
    [
        *(ROOT / "sso" / "edge").glob("*.py"),
        *(ROOT / "sso" / "metrics").glob("*.py"),
        ROOT / "authserver" / "edge.py",
    ],
    ids=lambda p: p.name,
)
def test_the_edge_knows_neither_django_nor_sql(path: Path) -> None:
    assert touches(path, "django", "accounts", "sso.api", "sso.models", "sso.sign_ins") == []


@pytest.mark.parametrize(
    "path", list((ROOT / "clients/python/src/sso_client").glob("*.py")), ids=lambda p: p.name
)
def test_the_client_knows_nothing_of_the_server(path: Path) -> None:
    assert touches(path, "sso", "accounts", "authserver") == []
    if path.stem != "django":
        assert touches(path, "django") == []


@pytest.mark.parametrize("name", ["targets", "posting", "notices", "models", "health"])
def test_what_an_end_needs_of_sign_out_messages_knows_no_flow(name: str) -> None:
    path = ROOT / "sso" / "backchannel" / f"{name}.py"
    assert touches(path, "accounts", "sso.api", "sso.admin", *[f"sso.{flow}" for flow in FLOWS]) == []
    if name in ("targets", "posting", "health"):
        assert touches(path, "django") == []


def test_every_module_of_sso_has_its_place() -> None:
    placed = VALUES | STORES | FLOWS
    loose = (
        {path.stem for path in (ROOT / "sso").glob("*.py")} - placed - {"__init__", "apps", "error_responses"}
    )
    assert loose <= {"proxy_config", "proxy_check"}


@pytest.mark.parametrize("name", ["addresses", "grant_store", "keys", "standing", "claims"])
def test_what_openid_connect_stores_knows_nothing_of_its_endpoints(name: str) -> None:
    views = ("views", "authorizing", "signing_out", "tokens", "userinfo", "provider", "answers")
    path = ROOT / "sso" / "oidc" / f"{name}.py"
    assert (
        touches(path, "sso.api", "accounts.views", "accounts.pages", *[f"sso.oidc.{v}" for v in views]) == []
    )
    if name == "addresses":
        assert touches(path, "django") == []
