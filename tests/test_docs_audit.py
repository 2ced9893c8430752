"""docs/audit.md lists every event with its details, and no other."""

import re

from sso import audit
from tests.support.programs import ROOT

PAGE = (ROOT / "docs" / "audit.md").read_text()


def test_every_event_is_listed_with_its_details_and_no_other() -> None:
    table = PAGE.partition("## Events")[2]
    rows = re.findall(r"^\| `(\w+)` \| (.*?) \|", table, re.M)
    listed = {name: set(re.findall(r"`(\w+)`", details)) for name, details in rows}
    assert listed == {event.value: set(event.details) for event in audit.Event}


def test_every_column_is_explained() -> None:
    from sso.audit.models import AuditEvent

    explained = set(re.findall(r"`(\w+)`", PAGE.partition("## In the log")[0]))
    assert {field.name for field in AuditEvent._meta.fields} <= explained
