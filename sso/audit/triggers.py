"""Triggers that refuse to change the trail, in both databases: a first fence, not the proof (that is the chain).

Rows are never updated, and deleted only below the floor, which retention moves up first. Whoever may drop
triggers can still change rows, and ``verify_audit`` then finds them. SQLite loses a table's triggers when
a migration rebuilds it: such a migration ends with :func:`install` once more.
"""

from __future__ import annotations

from typing import Any

TABLE, HEAD = "sso_audit_auditevent", "sso_audit_chainhead"
REFUSAL = "the audit trail is append-only"

_SQLITE = (
    f"""CREATE TRIGGER sso_audit_no_update BEFORE UPDATE ON {TABLE}
        BEGIN SELECT RAISE(ABORT, '{REFUSAL}'); END""",
    f"""CREATE TRIGGER sso_audit_no_delete BEFORE DELETE ON {TABLE}
        WHEN OLD.seq > COALESCE((SELECT floor_seq FROM {HEAD} WHERE id = 1), 0)
        BEGIN SELECT RAISE(ABORT, '{REFUSAL}'); END""",  # noqa: S608 - names of our own
)
_SQLITE_DROP = tuple(f"DROP TRIGGER IF EXISTS sso_audit_no_{what}" for what in ("update", "delete"))

_POSTGRESQL = (
    f"""CREATE OR REPLACE FUNCTION sso_audit_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            IF TG_OP = 'DELETE' THEN
                IF OLD.seq <= COALESCE((SELECT floor_seq FROM {HEAD} WHERE id = 1), 0) THEN
                    RETURN OLD;
                END IF;
            END IF;
            RAISE EXCEPTION '{REFUSAL}';
        END $$""",  # noqa: S608 - names of our own
    f"""CREATE TRIGGER sso_audit_no_change BEFORE UPDATE OR DELETE ON {TABLE}
        FOR EACH ROW EXECUTE FUNCTION sso_audit_refuse()""",
    f"""CREATE TRIGGER sso_audit_no_truncate BEFORE TRUNCATE ON {TABLE}
        FOR EACH STATEMENT EXECUTE FUNCTION sso_audit_refuse()""",
)
_POSTGRESQL_DROP = (
    f"DROP TRIGGER IF EXISTS sso_audit_no_change ON {TABLE}",
    f"DROP TRIGGER IF EXISTS sso_audit_no_truncate ON {TABLE}",
    "DROP FUNCTION IF EXISTS sso_audit_refuse()",
)


def install(apps: Any, schema_editor: Any) -> None:
    """For ``RunPython``; safe to run again."""
    remove(apps, schema_editor)
    for statement in _POSTGRESQL if schema_editor.connection.vendor == "postgresql" else _SQLITE:
        schema_editor.execute(statement, params=None)


def remove(_apps: Any, schema_editor: Any) -> None:
    vendor = schema_editor.connection.vendor
    for statement in _POSTGRESQL_DROP if vendor == "postgresql" else _SQLITE_DROP:
        schema_editor.execute(statement, params=None)
