"""The chain: rows changed, removed, added or swapped behind our back are found, and the first one is named."""

import json
import logging
from datetime import timedelta

import pytest
from django.core.management import call_command
from django.db import DataError, connection
from django.test import override_settings
from django.utils import timezone

from sso import audit
from sso.audit import keeping
from sso.audit.models import AppendOnly, AuditEvent, ChainHead
from sso.audit.pruning import Damaged, prune
from sso.audit.verifying import Anchor, verify

pytestmark = pytest.mark.django_db(transaction=True)
LATER = lambda: timezone.now() + timedelta(minutes=1)  # noqa: E731
TABLE = AuditEvent._meta.db_table


def write(count, **more):
    for n in range(count):
        audit.record(audit.Event.SIGNED_IN, subject=f"person-{n}", sid=f"sid-{n}", amr="pwd", **more)


def sql(statement, *values):
    with connection.cursor() as cursor:
        cursor.execute(statement.replace("events", TABLE).replace("head", ChainHead._meta.db_table), values)


def found():
    return [(finding.seq, finding.kind) for finding in verify().findings]


@pytest.fixture
def ten():
    write(10)
    assert found() == []


def test_an_untouched_trail_is_sound_and_gapless(ten):
    report = verify()
    assert (report.rows, report.first, report.last, report.sound) == (10, 1, 10, True)
    assert list(AuditEvent.objects.order_by("seq").values_list("seq", flat=True)) == list(range(1, 11))


def test_an_empty_trail_is_sound():
    assert verify().sound


CHANGES = {
    "uid": "00000000000000000000000000000001",
    "time": "2020-01-01 00:00:00",
    "event": "signed_out",
    "outcome": "refused",
    "actor_id": "somebody",
    "actor_name": "somebody",
    "subject_id": "somebody",
    "subject_name": "somebody",
    "address": "192.0.2.9",
    "device": "curl",
    "app": "wiki",
    "sid": "other",
    "request_id": "other",
    "details": '{"amr": "pwd+otp"}',
    "key_id": "00000000",
    "hash": "f" * 64,
}


def test_every_column_is_tried():
    assert {f.column for f in AuditEvent._meta.fields} == {"seq", *CHANGES}


@pytest.mark.parametrize("seq", [1, 5, 10], ids=["the first row", "one in the middle", "the last row"])
@pytest.mark.parametrize("column", CHANGES)
def test_a_changed_column_is_found(ten, column, seq):
    sql(f"UPDATE events SET {column} = %s WHERE seq = %s", CHANGES[column], seq)
    first = found()[0]
    assert first[0] == seq
    assert first[1] in ("altered", "unknown_key")


@pytest.mark.parametrize("seq", [1, 5, 10], ids=["the first row", "one in the middle", "the last row"])
def test_a_removed_row_is_found(ten, seq):
    sql("DELETE FROM events WHERE seq = %s", seq)
    assert found() == [(seq, "missing")]


def test_a_hole_of_several_rows_is_named_by_its_first(ten):
    sql("DELETE FROM events WHERE seq IN (4, 5, 6)")
    [finding] = verify().findings
    assert (finding.seq, finding.text) == (4, "rows 4 to 6 are missing.")


def test_an_end_that_was_cut_off_is_found_now_and_after_the_next_event(ten):
    sql("DELETE FROM events WHERE seq > 7")
    assert found() == [(8, "missing")]
    write(1)
    assert found() == [(8, "missing"), (11, "damaged")]


def test_removing_everything_is_found(ten):
    sql("DELETE FROM events")
    assert found() == [(1, "missing")]


def test_swapped_rows_are_found(ten):
    for old, new in ((4, 99), (5, 4), (99, 5)):
        sql("UPDATE events SET seq = %s WHERE seq = %s", new, old)
    assert found()[0] == (4, "altered")


def test_a_row_that_was_put_in_behind_the_end_is_found(ten):
    sql(
        "INSERT INTO events SELECT 11, '00000000000000000000000000000002', time, event, outcome, actor_id,"
        " actor_name, subject_id, subject_name, address, device, app, sid, request_id, details, key_id, hash"
        " FROM events WHERE seq = 10"
    )
    assert (11, "foreign") in found()


@pytest.mark.parametrize("column", ["seq", "hash", "floor_seq", "floor_hash", "key_id", "mac"])
def test_a_changed_head_is_found_also_after_the_next_event(ten, column):
    sql(
        f"UPDATE head SET {column} = %s",
        3 if column.endswith("seq") else "f" * (8 if column == "key_id" else 64),
    )
    assert (0, "head") in found()
    write(1)
    assert (11, "damaged") in found()


def test_a_floor_that_was_moved_to_hide_removed_rows_is_found(ten):
    sql("UPDATE head SET floor_seq = 5, floor_hash = (SELECT hash FROM events WHERE seq = 5)")
    sql("DELETE FROM events WHERE seq <= 5")
    assert (1, "missing") in found()


def test_a_removed_head_is_found_also_after_the_next_event(ten):
    sql("DELETE FROM head")
    assert (0, "head") in found()
    write(1)
    assert found() == [(11, "damaged")]


def test_the_whole_trail_put_back_to_an_earlier_state_is_found_with_a_line_of_the_log(ten):
    """The one thing that the table alone cannot tell: an older head and the rows of then fit together."""
    [(seq, hash_, mac)] = ChainHead.objects.values_list("seq", "hash", "mac")
    write(3)
    anchor = Anchor(13, AuditEvent.objects.get(seq=13).hash)
    assert verify(anchors=(anchor,)).sound
    sql("DELETE FROM events WHERE seq > 10")
    sql("UPDATE head SET seq = %s, hash = %s, mac = %s", seq, hash_, mac)
    assert verify().sound
    assert [(f.seq, f.kind) for f in verify(anchors=(anchor,)).findings] == [(13, "anchor")]


def test_a_row_that_cannot_even_be_read_is_named(ten):
    sql("UPDATE events SET time = 'yesterday' WHERE seq = 6")
    assert found()[0] == (6, "altered")


def test_the_command_names_the_first_row_and_fails(ten, capsys):
    call_command("verify_audit")
    assert "Sound" in capsys.readouterr().out
    sql("UPDATE events SET subject_name = 'eve' WHERE seq = 3")
    with pytest.raises(SystemExit) as ended:
        call_command("verify_audit", "--json")
    report = json.loads(capsys.readouterr().out)
    assert (ended.value.code, report["findings"][0]["seq"]) == (1, 3)
    assert AuditEvent.objects.filter(event="audit_verified").count() == 2


def test_an_older_secret_key_among_the_fallbacks_still_vouches(ten, settings):
    old = settings.SECRET_KEY
    with override_settings(SECRET_KEY="another-key-" + "x" * 50, SECRET_KEY_FALLBACKS=[old]):
        write(2)
        assert verify().sound
        assert AuditEvent.objects.values("key_id").distinct().count() == 2
    assert (11, "unknown_key") in found(), "the new key is not known any more"


# -- append-only


def test_the_model_lets_nobody_change_or_remove_rows(ten):
    row, rows = AuditEvent.objects.get(seq=4), AuditEvent.objects.filter(seq=4)
    tries = [
        row.save,
        row.delete,
        rows.delete,
        lambda: rows.update(event="x"),
        lambda: AuditEvent.objects.create(seq=99),
        lambda: AuditEvent.objects.bulk_create([row]),
        lambda: AuditEvent.objects.bulk_update([row], ["event"]),
        lambda: AuditEvent.objects.update_or_create(seq=4),
        lambda: AuditEvent._base_manager.filter(seq=4).delete(),
        lambda: AuditEvent._base_manager.filter(seq=4).update(event="x"),
    ]
    for attempt in tries:
        with pytest.raises(AppendOnly):
            attempt()
    assert found() == []


# -- retention


def test_what_is_older_than_the_retention_goes_and_the_rest_still_verifies(ten, monkeypatch):
    monkeypatch.setattr("sso.audit.pruning.BATCH", 3)
    assert prune(before=timezone.now() - timedelta(days=1)) == 0
    assert prune(before=LATER()) == 10
    report = verify()
    assert (report.rows, report.first, report.sound) == (1, 11, True)
    assert AuditEvent.objects.get().details == {"count": 10, "up_to": 10}


def test_retention_stops_at_the_first_row_that_is_young_enough(ten):
    middle = AuditEvent.objects.get(seq=6).time
    assert prune(before=middle) == 5
    assert (verify().first, verify().sound) == (6, True)


def test_rows_that_retention_removed_cannot_be_put_back(ten):
    prune(before=LATER())
    sql(
        "INSERT INTO events SELECT 5, '00000000000000000000000000000002', time, event, outcome, actor_id,"
        " actor_name, subject_id, subject_name, address, device, app, sid, request_id, details, key_id, hash"
        " FROM events"
    )
    assert (5, "foreign") in found()


def test_nothing_is_removed_from_a_trail_that_does_not_fit(ten):
    sql("DELETE FROM events WHERE seq = 10")
    with pytest.raises(Damaged):
        prune(before=LATER())
    assert AuditEvent.objects.count() == 9


# -- in and out of transactions


def test_what_was_rolled_back_was_not_done():
    from django.db import transaction

    with pytest.raises(ZeroDivisionError), transaction.atomic():  # noqa: PT012 - both lines are the case
        audit.record(audit.Event.PERSON_CREATED, subject="x")
        raise ZeroDivisionError
    assert not AuditEvent.objects.exists()
    with transaction.atomic():
        audit.record(audit.Event.PERSON_CREATED, subject="x")
        assert not AuditEvent.objects.exists()
    assert AuditEvent.objects.get().event == "person_created"


# -- what goes into a row and a line


@pytest.fixture
def lines(caplog):
    """The trail's own lines, as they leave the logger."""
    logger = logging.getLogger("sso.audit")
    logger.addHandler(caplog.handler)
    yield lambda: [r.getMessage() for r in caplog.records if r.name == "sso.audit"]
    logger.removeHandler(caplog.handler)


def test_each_event_is_one_line_and_then_an_anchor(lines):
    audit.record(audit.Event.SIGNED_IN, subject="p", amr="pwd")
    said, stored = map(json.loads, lines())
    row = AuditEvent.objects.get()
    assert (said["log"], said["event"], said["details"]) == ("audit", "signed_in", {"amr": "pwd"})
    assert stored == {"log": "audit_stored", "uid": str(row.uid), "seq": 1, "hash": row.hash}


def test_nothing_that_strangers_write_breaks_a_line(lines):
    evil = 'x"\r\n{"log": "audit", "event": "forged"}\u2028\x1b[31m\x00\ud800'
    audit.record(audit.Event.SIGN_IN_REFUSED, subject=evil, app=evil, reason=evil)
    assert len(lines()) == 2
    for line in lines():
        assert line.isprintable()
        assert json.loads(line)["log"] in ("audit", "audit_stored")
    assert AuditEvent.objects.get().details["reason"].isprintable()
    assert found() == []


def test_what_looks_like_a_secret_and_what_is_not_declared_stays_out(caplog):
    cookie = "Zk3" + "a" * 40
    audit.record(audit.Event.SIGN_IN_REFUSED, reason=f"cookie {cookie}", password="seven brave kettles sing")
    row = AuditEvent.objects.get()
    assert row.details == {"reason": "cookie (hidden)"}
    assert "audit_detail_refused event=sign_in_refused names=password" in caplog.text
    assert "kettles" not in caplog.text


# -- when the database does not answer


def test_an_event_that_cannot_be_stored_is_said_counted_and_stored_later(lines, monkeypatch):
    monkeypatch.setattr(keeping, "PAUSE", 0.0)
    write(1)
    sql("ALTER TABLE events RENAME TO elsewhere")
    try:
        audit.record(audit.Event.SIGNED_OUT, subject="p")
    finally:
        sql(f"ALTER TABLE elsewhere RENAME TO {TABLE}")
    [error] = [json.loads(line) for line in lines() if "audit_not_stored" in line]
    assert (error["event"], error["error"], error["waiting"]) == ("signed_out", "OperationalError", 1)
    assert keeping.health() == keeping.Health(not_stored=1, waiting=1)
    write(1)
    assert [row.event for row in AuditEvent.objects.order_by("seq")] == [
        "signed_in",
        "signed_in",
        "signed_out",
    ]
    assert keeping.health().waiting == 0
    assert found() == []


def test_more_than_a_process_can_keep_is_counted_and_told_when_the_database_is_back(lines, monkeypatch):
    monkeypatch.setattr(keeping, "MOST_WAITING", 3)
    keeping.pause()
    write(5)
    assert not AuditEvent.objects.exists()
    monkeypatch.setattr(keeping, "is_pausing", lambda: False)
    write(1)
    rows = list(AuditEvent.objects.order_by("seq"))
    assert [row.subject_id for row in rows] == ["person-0", "person-2", "person-3", "person-4", ""]
    assert (rows[-1].event, rows[-1].details) == ("audit_lost", {"count": 2})
    assert sum("audit_not_stored" in line for line in lines()) == 5


def test_one_event_that_no_database_takes_holds_up_no_other(lines, monkeypatch):
    from sso.audit import storing

    original = storing._appended

    def picky(end, entry):
        if entry.subject_id == "poison":
            raise DataError("too long")
        return original(end, entry)

    monkeypatch.setattr(storing, "_appended", picky)
    audit.record(audit.Event.SIGNED_IN, subject="poison")
    write(1)
    assert set(AuditEvent.objects.values_list("event", flat=True)) == {"audit_lost", "signed_in"}
    assert found() == []
