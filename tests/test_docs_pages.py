"""What any page says of commands, settings, endpoints, codes, files and log lines exists, and runs."""

from __future__ import annotations

import re
import shlex
from argparse import ArgumentParser
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.core.management import CommandError, get_commands, load_command_class
from django.core.management.base import BaseCommand

from accounts.models import User
from authserver.environment import variables
from sso import checks
from sso.api import openapi
from sso.models import RelyingApp
from sso.registry import secret_hash
from tests.support.programs import ROOT
from tests.test_docs_api import family
from tests.test_docs_settings import serving_variables

DOCS = ROOT / "docs"
PAGES = [
    *sorted(DOCS.rglob("*.md")),
    *(ROOT / name for name in ("README.md", "SECURITY.md", "CONTRIBUTING.md", "CHANGELOG.md")),
    ROOT / "clients/python/README.md",
    ROOT / "deploy/proxies/README.md",
]
#: Read by the demo, by the tests, and by apps in the examples; no setting of the server.
OTHERS = {"SSO_CLIENT", "SSO_HUB", "SSO_CORPORA"}

each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


def named(pattern: str, page: Path) -> set[str]:
    return set(re.findall(pattern, page.read_text(), re.M))


# -- the index


def test_the_index_leads_to_every_page() -> None:
    index = DOCS / "README.md"
    linked = {(DOCS / target).resolve() for target in named(r"\]\(([^)#\s]+)", index)}
    missing = set(DOCS.rglob("*.md")) - linked - {index}
    assert missing == set()


def test_the_readme_leads_to_the_index() -> None:
    assert "](docs/README.md)" in (ROOT / "README.md").read_text()


# -- commands


def own(name: str) -> bool:
    return get_commands()[name] in ("accounts", "sso", "sso.audit", "sso.oidc", "sso.backchannel")


def parser(name: str) -> ArgumentParser:
    return load_command_class(get_commands()[name], name).create_parser("manage.py", name)


def written(page: Path) -> Iterator[list[str]]:
    """The words after ``manage.py`` of every line that is to be typed, and of every command in the text."""
    text = page.read_text()
    for line in re.findall(r"^    (?:\$ )?(?:.*\| )?(?:\S+=\S+ |\S*/)*python manage\.py (.+)$", text, re.M):
        yield shlex.split(re.split(r" [|>] ", line)[0], comments=True)
    for words in re.findall(r"`(?:python )?manage\.py ([^`]+)`", text):
        yield words.replace("\n", " ").split()


@each_page
def test_commands_exist_and_have_the_options_that_are_written(page: Path) -> None:
    for name, *words in written(page):
        if name == "NAME":
            continue
        assert name in get_commands(), f"manage.py {name}"
        known = {option for action in parser(name)._actions for option in action.option_strings}
        assert {word.partition("=")[0] for word in words if word.startswith("--")} <= known, (name, words)


@each_page
def test_command_lines_to_be_typed_are_complete(page: Path) -> None:
    lines = re.findall(r"^    (?:\$ )?(?:\S+=\S+ |\S*/)*python manage\.py (.+)$", page.read_text(), re.M)
    for line in lines:
        name, *words = shlex.split(re.split(r" [|>] ", line)[0], comments=True)
        if own(name):
            parser(name).parse_args(words)  # CommandError: what is missing or wrong


def test_that_check_can_fail() -> None:
    with pytest.raises(CommandError):
        parser("explain").parse_args(["ada"])


def test_every_command_is_described_with_exactly_its_options() -> None:
    rows = re.findall(r"^\| `([a-z_]+)([^`]*)` \|", (DOCS / "operations.md").read_text(), re.M)
    described = {name: set(re.findall(r"--[a-z-]+", usage)) for name, usage in rows}
    common = {
        option for action in BaseCommand().create_parser("", "")._actions for option in action.option_strings
    }
    hidden = {"--prepare"}
    commands = {name for name in get_commands() if own(name)}
    assert described == {
        name: {o for action in parser(name)._actions for o in action.option_strings} - common - hidden
        for name in commands
    }


def test_the_words_of_make_exist() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.M))
    for page in PAGES:
        assert named(r"(?:^    (?:\$ )?|`)make ([a-z]+)", page) <= targets, page.name


# -- names


@each_page
def test_variables_that_are_named_are_read(page: Path) -> None:
    assert named(r"\bSSO_[A-Z_]+[A-Z]\b", page) <= variables() | serving_variables() | OTHERS


@each_page
def test_checks_that_are_named_exist(page: Path) -> None:
    ids = {f"sso.{name}" for name in vars(checks) if re.fullmatch(r"[EW]\d{3}", name)} | {
        "sso.W017",
        "sso.E004",
        "sso.W018",
    }
    assert named(r"\bsso\.[EW]\d{3}\b", page) <= ids


@each_page
def test_error_codes_that_are_named_with_their_status_exist(page: Path) -> None:
    pairs = set(re.findall(r"\b([45]\d\d)\s`([a-z_]+)`", page.read_text()))
    ours = {(str(kind.status), kind.code) for kind in family()}
    # The client in an app speaks for itself; its codes are the server's where they mean the same.
    assert pairs <= ours, pairs - ours


@each_page
def test_endpoints_that_are_named_exist(page: Path) -> None:
    patterns = [
        re.compile(re.sub(r"\\\{[a-z]+\\\}", r"[^`\\s]+", re.escape(path))) for path in openapi.paths()
    ]
    spoken = named(r"(?:`|GET |POST |DELETE |\.com|:8000)(/(?:api/|healthz|readyz|metrics)[\w/{}.-]*)", page)
    general = {"/api/", "/api/authz/", "/api/authz/ext-authz/", "/api/authz/ext-authz"}
    unknown = [p for p in spoken - general if not any(pattern.fullmatch(p) for pattern in patterns)]
    assert unknown == []


@each_page
def test_files_that_are_named_exist(page: Path) -> None:
    for name in named(r"`((?:sso|accounts|authserver|tests|deploy|docs|tools|bench|clients)/[\w./-]*)", page):
        assert (ROOT / name).exists(), name


def test_log_lines_that_operators_watch_for_are_written() -> None:
    text = (DOCS / "operations.md").read_text()
    _, _, listed = text.partition("Worth an alarm:")
    events = set(re.findall(r"`([a-z_]+)`", listed.partition("No line")[0]))
    folders = ("sso", "accounts", "authserver", "clients/python/src")
    sources = "".join(path.read_text() for folder in folders for path in (ROOT / folder).rglob("*.py"))
    assert len(events) > 8
    assert {event for event in events if not re.search(rf'"{event}\b', sources)} == set()


@each_page
def test_one_word_for_one_thing(page: Path) -> None:
    text = re.sub(
        r"```.*?```|`[^`]*`|\]\([^)]*\)|https?://\S+|^    .*$", "", page.read_text(), flags=re.S | re.M
    )
    other = (
        r"\b(log(?:ged|ging)?[ -](?:in|out)|login|logout|identity provider|whitelist|blacklist|SSO server)\b"
    )
    assert re.findall(other, text, re.I) == []


# -- what is to be typed into a shell


@pytest.mark.django_db(transaction=True)
def test_the_code_for_manage_py_shell_runs(capsys: pytest.CaptureFixture[str]) -> None:
    User.objects.create_user("ada", "ada@example.com")
    for name in ("wiki", "old-wiki"):
        RelyingApp.objects.create(name=name, client_id=name, origins=[f"https://{name}.example.com"])
    blocks = [
        block
        for page in PAGES
        for block in re.findall(r"<!-- tested: shell -->\n```python\n(.*?)```", page.read_text(), re.S)
    ]
    assert len(blocks) >= 3
    for block in blocks:
        exec(compile(block, "docs", "exec"), {})
    wiki = RelyingApp.objects.get()
    assert wiki.secret_hashes == [secret_hash(capsys.readouterr().out.strip())]
    assert wiki.as_app().access.rules[0].groups == ("staff",)
    assert not User.objects.get().is_active
