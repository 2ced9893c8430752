"""What is recorded, and the only details that each event may carry (docs/audit.md lists the same)."""

from __future__ import annotations

from enum import StrEnum
from typing import Self


class Outcome(StrEnum):
    """How it ended."""

    DONE = "done"
    #: Somebody asked and was told no.
    REFUSED = "refused"
    #: It should have worked and did not.
    FAILED = "failed"


class Event(StrEnum):
    """A name for good: rows keep it. Behind it stand the names of the details it may have, never of secrets."""

    details: frozenset[str]

    def __new__(cls, value: str, *details: str) -> Self:
        event = str.__new__(cls, value)
        event._value_ = value
        event.details = frozenset(details)
        return event

    # -- signing in

    #: Somebody signed in. ``amr`` is joined with "+"; ``new_device``: a browser or network not seen before.
    SIGNED_IN = "signed_in", "amr", "remember", "new_device", "site"
    #: Somebody was not let in. ``reason``: a code, never what was typed.
    SIGN_IN_REFUSED = "sign_in_refused", "reason", "method"
    #: Too many attempts. ``scope``: what was counted (account, address, mailbox, …).
    THROTTLED = "throttled", "scope", "retry_after", "action"
    #: The second step of a sign-in was wrong.
    SECOND_FACTOR_REFUSED = "second_factor_refused", "reason", "method"
    #: Somebody proved again that it is them.
    STEPPED_UP = "stepped_up", "amr", "method"
    #: A browser was trusted to skip the second factor for a while.
    BROWSER_TRUSTED = "browser_trusted", "days"

    #: The same sign-in went on under new cookies. ``by``: confirmation or password.
    SIGN_IN_RENEWED = "sign_in_renewed", "by"

    # -- ending

    #: Somebody signed out in their own browser.
    SIGNED_OUT = "signed_out", "count", "by"
    #: A sign-in was ended from elsewhere. ``by``: list, everywhere, admin, command, password, disabled, deleted, …
    SIGN_IN_ENDED = "sign_in_ended", "by", "count", "reason"
    #: A new sign-in took the place of the one in the same browser, or of the oldest of very many.
    SIGN_IN_REPLACED = "sign_in_replaced", "by", "count"

    # -- cookies

    #: Two different cookies of one name arrived: nobody.
    COOKIE_CONFLICT = "cookie_conflict", "cookie", "count"
    #: The sign-in loop was broken: a cookie did not come back.
    COOKIE_LOST = "cookie_lost", "cookie", "rounds"

    # -- people

    PERSON_CREATED = "person_created", "by", "count", "fields"
    #: ``fields``: the names of what changed, never their values.
    PERSON_CHANGED = "person_changed", "fields", "count"
    PERSON_DISABLED = "person_disabled", "count", "reason"
    PERSON_ENABLED = "person_enabled", "count"
    PERSON_DELETED = "person_deleted", "by", "count"
    #: ``added`` and ``removed``: names of groups.
    GROUPS_CHANGED = "groups_changed", "added", "removed", "cleared"
    #: Staff or superuser, or permissions of their own.
    PRIVILEGES_CHANGED = "privileges_changed", "staff", "superuser", "permissions", "count"
    #: A group itself was made, renamed or deleted, or its permissions changed.
    GROUP_CREATED = "group_created", "group"
    GROUP_CHANGED = "group_changed", "group", "fields"
    GROUP_DELETED = "group_deleted", "group"
    INVITED = "invited", "groups"
    #: Somebody made themselves an account. ``mode``: open or invitation.
    REGISTERED = "registered", "mode"
    PEOPLE_EXPORTED = "people_exported", "count", "format"
    PEOPLE_IMPORTED = "people_imported", "count", "created", "changed", "skipped", "format", "dry_run"
    #: An administrator acts as somebody, with a reason.
    IMPERSONATION_BEGAN = "impersonation_began", "reason", "minutes"
    IMPERSONATION_ENDED = "impersonation_ended"

    # -- credentials

    PASSWORD_CHANGED = "password_changed", "by"
    PASSWORD_RESET_ASKED = "password_reset_asked", "by"
    #: A link was written to somebody's mailbox.
    PASSWORD_RESET_SENT = "password_reset_sent"  # noqa: S105 - a name
    #: A password was set with a link from a mail.
    PASSWORD_RESET = "password_reset"  # noqa: S105 - a name
    SIGN_IN_CODE_ASKED = "sign_in_code_asked"
    EMAIL_CHANGE_ASKED = "email_change_asked"
    EMAIL_CHANGED = "email_changed"
    EMAIL_CHANGE_UNDONE = "email_change_undone"
    #: ``kind``: totp, webauthn, recovery_codes.
    FACTOR_ADDED = "factor_added", "kind", "name"
    FACTOR_REMOVED = "factor_removed", "kind", "name", "reason"
    PASSKEY_ADDED = "passkey_added", "name"
    PASSKEY_REMOVED = "passkey_removed", "name"
    PASSKEY_RENAMED = "passkey_renamed", "name"
    RECOVERY_CODES_MADE = "recovery_codes_made", "count"
    RECOVERY_CODE_USED = "recovery_code_used", "left"

    # -- relying apps

    APP_CREATED = "app_created", "fields"
    #: ``fields``: the names of what changed.
    APP_CHANGED = "app_changed", "fields"
    APP_DELETED = "app_deleted"
    SECRET_MADE = "secret_made", "count"
    SECRET_REMOVED = "secret_removed", "count"
    ACCESS_RULES_CHANGED = "access_rules_changed", "rules", "default"
    REGISTRY_PUBLISHED = "registry_published", "apps", "revision"

    # -- one sign-in for several sites, OpenID Connect

    TICKET_ISSUED = "ticket_issued", "site"
    TICKET_REDEEMED = "ticket_redeemed", "site"
    #: ``reason``: replayed, expired, wrong_site, wrong_browser, unknown, …
    TICKET_REFUSED = "ticket_refused", "reason", "site"
    LOGOUT_DELIVERED = "logout_delivered", "tries", "status"
    LOGOUT_UNDELIVERED = "logout_undelivered", "tries", "status", "reason"
    TOKEN_ISSUED = "token_issued", "grant", "scope"
    TOKEN_REFUSED = "token_refused", "grant", "reason"
    TOKEN_REVOKED = "token_revoked", "reason", "count"
    SIGNING_KEY_MADE = "signing_key_made", "kid"
    SIGNING_KEY_RETIRED = "signing_key_retired", "kid"

    # -- the administrator, and the trail itself

    #: Somebody entered the admin pages, or was refused there. ``page``: its path.
    ADMIN_REFUSED = "admin_refused", "reason", "page"
    #: Any other act in the admin pages. ``what``: a short name of the act.
    ADMIN_ACT = "admin_act", "what", "object", "count", "reason", "fields"
    COMMAND_RUN = "command_run", "what", "count", "dry_run"
    DOMAIN_AUDITED = "domain_audited", "findings", "hosts"
    AUDIT_EXPORTED = "audit_exported", "format", "count", "filter"
    AUDIT_VERIFIED = "audit_verified", "findings", "rows", "first"
    #: Rows older than the retention were removed, up to number ``up_to``.
    AUDIT_PRUNED = "audit_pruned", "count", "up_to"
    #: Events could not be stored and were given up; the log has each as ``audit_not_stored``.
    AUDIT_LOST = "audit_lost", "count"
    #: The trail did not fit together when an event was to be added. ``found`` says how.
    AUDIT_DAMAGED = "audit_damaged", "found"
