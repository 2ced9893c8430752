"""docs/ names every setting, check and dependency, with its true default, and nothing that does not exist."""

import re

import pytest

from accounts import template_checks
from authserver.environment import PROJECT, SECRETS, Environment, variables
from sso import checks

DOCS = PROJECT / "docs"
SETTINGS = (DOCS / "settings.md").read_text()


def first_cells(text):
    """The code words that begin the rows of Markdown tables."""
    return re.findall(r"^\| `([^`]+)` \|", text, re.MULTILINE)


def section(heading):
    """The text under one ``## heading`` of docs/settings.md."""
    _, found, rest = SETTINGS.partition(f"\n## {heading}\n")
    assert found, heading
    return rest.partition("\n## ")[0]


def serving_variables():
    """What deploy/gunicorn.conf.py reads."""
    source = (PROJECT / "deploy" / "gunicorn.conf.py").read_text()
    return set(re.findall(r"_(?:text|number)\(\s*\"(\w+)\"", source))


def test_every_variable_of_the_environment_is_documented_once_and_no_other():
    named = first_cells(section("What each one means")) + first_cells(section("Secrets in files"))
    assert sorted(named) == sorted(variables())


def test_every_variable_of_serving_is_documented_once_and_no_other():
    assert sorted(first_cells(section("Serving"))) == sorted(serving_variables())


def test_no_page_names_a_variable_that_nothing_reads():
    known = variables() | serving_variables()
    for page in ("settings.md", "cookies-and-domains.md"):
        named = set(re.findall(r"\bSSO_[A-Z_]+\b", (DOCS / page).read_text()))
        assert named <= known, page


def test_every_row_gives_type_default_and_meaning():
    rows = [line for line in section("What each one means").splitlines() if line.startswith("| `")]
    for row in rows:
        cells = re.split(r"(?<!\\) \| ", row.strip("| "))
        assert len(cells) == 4, row
        assert all(cells), row


@pytest.mark.asvs("7.1.1")
def test_the_defaults_in_the_docs_are_the_true_ones():
    text = section("What each one means")
    for field in Environment.model_fields.values():
        if field.default:
            row = next(line for line in text.splitlines() if line.startswith(f"| `{field.alias}` |"))
            assert row.split(" | ")[2] == f"`{field.default}`"


def test_every_secret_is_listed_with_its_file():
    assert first_cells(section("Secrets in files")) == [f"{name}_FILE" for name in _in_order(SECRETS)]


def _in_order(names):
    return [field.alias for field in Environment.model_fields.values() if field.alias in names]


def test_every_check_is_documented_once_and_no_other():
    messages = [value for name, value in vars(checks).items() if re.fullmatch(r"[EW]\d{3}", name)]
    made = (checks.unknown_variable, template_checks.broken_template, template_checks.idle_template)
    ids = [message.id for message in [*messages, *(make("a", "b") for make in made)]]
    assert len(ids) == len(set(ids))
    assert first_cells(section("What the checks say")) == sorted(ids)


def test_every_check_says_a_way_out():
    for name, message in vars(checks).items():
        if re.fullmatch(r"[EW]\d{3}", name):
            assert message.id == f"sso.{name}"
            assert message.hint
            assert message.msg.endswith(".")


def required(name):
    """The packages of a requirements file, as it spells them."""
    lines = (PROJECT / name).read_text().splitlines()
    wanted = [line.removeprefix("-e ") for line in lines if line and not line.startswith(("#", "-r"))]
    return [re.split(r"[=<>\[;]", line)[0].strip() for line in wanted]


def test_every_dependency_has_its_reason_and_no_other():
    text = (DOCS / "dependencies.md").read_text()
    run, _, develop = text.partition("\n## To develop")
    for part, name in ((run, "requirements.txt"), (develop, "requirements-dev.txt")):
        reasons = dict(re.findall(r"^\| ([\w./-]+) \| (.+) \|$", part, re.MULTILINE))
        reasons.pop("package")
        assert sorted(reasons) == sorted(required(name)), name
        assert all(len(reason) > 5 for reason in reasons.values())


def test_links_between_these_pages_lead_somewhere():
    for page in ("settings.md", "cookies-and-domains.md", "dependencies.md"):
        text = (DOCS / page).read_text()
        for target, anchor in re.findall(r"\]\(([\w.-]*)(?:#([\w-]+))?\)", text):
            linked = (DOCS / target).read_text() if target else text
            anchors = {
                re.sub(r"[^\w -]", "", h).lower().replace(" ", "-")
                for h in re.findall(r"^#+ (.+)$", linked, re.M)
            }
            assert not anchor or anchor in anchors, (page, target, anchor)
