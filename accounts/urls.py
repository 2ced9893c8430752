"""The pages people see, at the root of the hub; many under ``/account/`` are django-allauth's, in our dress.

allauth's own sign-in and sign-out views are left out on purpose: there is one way in, throttled as one.
"""

from allauth.account import views as account
from allauth.mfa.base import views as mfa
from allauth.mfa.recovery_codes import views as recovery
from allauth.mfa.totp import views as totp
from allauth.mfa.webauthn import views as webauthn
from django.urls import path, re_path

from accounts import (
    account_pages,
    activity,
    language_page,
    mailed_confirmation,
    passkeys,
    steps,
    trouble,
    views,
    well_known,
)
from accounts.borrowed import borrowed, fresh, fresh_to_change, step
from accounts.last_factor import long_password_first, longer_password

urlpatterns = [
    path("", views.home, name="home"),
    path("login/", views.login, name="login"),
    path("login/", views.login, name="account_login"),
    path("logout/", views.logout, name="logout"),
    path("logout/", views.logout, name="account_logout"),
    path("trouble/", trouble.doctor, name="doctor"),
    path("login/code/", borrowed(account.request_login_code), name="account_request_login_code"),
    path("login/code/confirm/", step(account.confirm_login_code), name="account_confirm_login_code"),
    path("login/factor/", step(steps.second_factor), name="mfa_authenticate"),
    path("login/trust/", step(steps.trust), name="mfa_trust"),
    path("login/passkey/", borrowed(passkeys.sign_in), name="mfa_login_webauthn"),
    path("password/reset/", borrowed(account.password_reset), name="account_reset_password"),
    path("password/reset/done/", borrowed(account.password_reset_done), name="account_reset_password_done"),
    re_path(
        r"^password/reset/(?P<uidb36>[0-9A-Za-z]+)-(?P<key>.+)/$",
        borrowed(account.password_reset_from_key),
        name="account_reset_password_from_key",
    ),
    path(
        "password/reset/changed/",
        borrowed(account.password_reset_from_key_done),
        name="account_reset_password_from_key_done",
    ),
    path("email/verify/", borrowed(account.email_verification_sent), name="account_email_verification_sent"),
    re_path(
        r"^email/verify/(?P<key>[-:\w]+)/$", borrowed(account.confirm_email), name="account_confirm_email"
    ),
    path("language/", language_page.choose, name="language"),
    path("account/", account_pages.profile, name="account"),
    path("account/security/", activity.security, name="account_security"),
    path("account/sessions/", account_pages.sessions, name="account_sessions"),
    path("account/email/", borrowed(fresh_to_change(account.email)), name="account_email"),
    path("account/password/", borrowed(fresh(account.password_change)), name="account_change_password"),
    path("account/password/longer/", borrowed(fresh(longer_password)), name="account_longer_password"),
    path("account/password/set/", borrowed(fresh(account.password_set)), name="account_set_password"),
    path("account/inactive/", borrowed(account.account_inactive), name="account_inactive"),
    path("account/reauthenticate/", borrowed(account.reauthenticate), name="account_reauthenticate"),
    path("account/reauthenticate/factor/", borrowed(mfa.reauthenticate), name="mfa_reauthenticate"),
    path(
        "account/reauthenticate/passkey/",
        borrowed(webauthn.reauthenticate_webauthn),
        name="mfa_reauthenticate_webauthn",
    ),
    path("account/reauthenticate/mail/", mailed_confirmation.confirm, name="account_reauthenticate_mail"),
    path("account/2fa/", borrowed(mfa.index), name="mfa_index"),
    path("account/2fa/totp/activate/", borrowed(fresh(totp.activate_totp)), name="mfa_activate_totp"),
    path(
        "account/2fa/totp/deactivate/",
        borrowed(fresh(long_password_first(totp.deactivate_totp))),
        name="mfa_deactivate_totp",
    ),
    path(
        "account/2fa/recovery-codes/",
        borrowed(fresh(recovery.view_recovery_codes)),
        name="mfa_view_recovery_codes",
    ),
    path(
        "account/2fa/recovery-codes/generate/",
        borrowed(fresh(recovery.generate_recovery_codes)),
        name="mfa_generate_recovery_codes",
    ),
    path(
        "account/2fa/recovery-codes/download/",
        borrowed(fresh(recovery.download_recovery_codes)),
        name="mfa_download_recovery_codes",
    ),
    path("account/passkeys/", borrowed(webauthn.list_webauthn), name="mfa_list_webauthn"),
    path("account/passkeys/add/", borrowed(fresh(webauthn.add_webauthn)), name="mfa_add_webauthn"),
    path(
        "account/passkeys/<int:pk>/remove/",
        borrowed(fresh(long_password_first(webauthn.remove_webauthn))),
        name="mfa_remove_webauthn",
    ),
    path("account/passkeys/<int:pk>/edit/", borrowed(fresh(passkeys.rename)), name="mfa_edit_webauthn"),
    path(".well-known/change-password", well_known.change_password),
    path(".well-known/webauthn", well_known.related_origins),
]
