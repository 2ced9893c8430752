"""The further steps of signing in by JSON: ``POST /api/session`` again, with what the answer before asked for.

The same stages, forms and limits as the pages (django-allauth); between two steps nobody is signed in.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from allauth.account.internal.flows.login_by_code import LoginCodeVerificationProcess
from allauth.account.internal.stagekit import clear_login, unstash_login
from allauth.account.models import Login
from allauth.account.stages import LoginByCodeStage, LoginStage, LoginStageController
from allauth.mfa import app_settings as mfa_settings
from allauth.mfa.base.forms import AuthenticateForm
from allauth.mfa.models import Authenticator
from allauth.mfa.stages import AuthenticateStage, TrustStage
from allauth.mfa.webauthn.forms import AuthenticateWebAuthnForm, LoginWebAuthnForm
from allauth.mfa.webauthn.internal import auth as webauthn
from allauth.mfa.webauthn.internal.flows import perform_passwordless_login
from allauth.utils import get_form_class
from django.forms import Form

from accounts import authentication, logins
from accounts.factor_forms import MailedCode
from accounts.recovery import AskForCode
from sso.api.bodies import Code, CodeRequest, Credentials, PasskeyRequest, PublicKeyCredential, Step, StepBody
from sso.api.errors import CodeRequired, MfaRequired, PasskeyRequired, VerificationRequired
from sso.errors import BadCredentials, SSOError
from sso.requests import HubRequest


def take(request: HubRequest, given: Step) -> StepBody | None:
    """Take one step. None: signed in now; otherwise what is to be sent next.

    Raises ``BadCredentials`` for whatever is wrong, too late or out of order, and what
    ``authentication.check`` and ``sso.sign_ins.start`` raise.
    """
    asked = _STEPS[type(given)](request, given)
    if asked is not None:
        return asked
    stage = _pending(request)
    if isinstance(stage, TrustStage):
        stage.exit()  # whether to trust this browser is asked on a page only
    return None if request.shared_cookie_to_set is not None else _next(request)


def _password(request: HubRequest, given: Credentials) -> None:
    user = authentication.check(request.client_address, given.identifier, given.password)
    logins.begin(request, user, remember=given.remember, address="/")


def _code(request: HubRequest, given: Code) -> None:
    """A one-time code, a recovery code, or the code from a mail: whichever the step before asked for."""
    stage = _pending(request)
    if isinstance(stage, LoginByCodeStage):
        _mailed_code(stage, given.code)
    elif isinstance(stage, AuthenticateStage):
        form = _form("authenticate", AuthenticateForm, user=stage.login.user, data={"code": given.code})
        _leave(stage, form)
    else:
        raise BadCredentials("no step waits for a code")


def _mailed_code(stage: LoginByCodeStage, code: str) -> None:
    process = LoginCodeVerificationProcess.resume(stage)
    if process is None:
        raise BadCredentials("the mailed code is too old")
    if not MailedCode(data={"code": code}, code=process.code).is_valid():
        process.record_invalid_attempt()
        raise BadCredentials("wrong mailed code")
    process.finish(None)


def _credential(request: HubRequest, given: PublicKeyCredential) -> None:
    """A security key as the second factor, or a passkey alone."""
    data = {"credential": given.credential}
    stage = _pending(request)
    if isinstance(stage, AuthenticateStage):
        _leave(
            stage, _form("authenticate_webauthn", AuthenticateWebAuthnForm, user=stage.login.user, data=data)
        )
        return
    form = _valid(_form("login_webauthn", LoginWebAuthnForm, data=data))
    authenticator = form.cleaned_data["credential"]
    logins.vouch_for_address(authenticator.user)
    perform_passwordless_login(request, authenticator, Login(user=authenticator.user, redirect_url="/"))


def _passkey_wanted(request: HubRequest, given: PasskeyRequest) -> StepBody:
    clear_login(request)
    request.session[logins.REMEMBER] = given.remember
    return _ask(PasskeyRequired, "webauthn", options=webauthn.begin_authentication(None))


def _code_wanted(request: HubRequest, given: CodeRequest) -> StepBody:
    """The answer is the same whether somebody has that address or not."""
    request.session[logins.REMEMBER] = given.remember
    form = _valid(AskForCode(data={"email": given.send_code_to}))
    LoginCodeVerificationProcess.initiate(request=request, user=form._user, email=form.cleaned_data["email"])
    return _ask(CodeRequired, "email")


_STEPS: dict[type[Any], Callable[[HubRequest, Any], StepBody | None]] = {
    Credentials: _password,
    Code: _code,
    PublicKeyCredential: _credential,
    PasskeyRequest: _passkey_wanted,
    CodeRequest: _code_wanted,
}


def _next(request: HubRequest) -> StepBody:
    """What the pending stage waits for."""
    stage = _pending(request)
    if isinstance(stage, AuthenticateStage):
        return _factor_wanted(stage)
    return _ask(VerificationRequired, "email")


def _factor_wanted(stage: AuthenticateStage) -> StepBody:
    user = stage.login.user
    kinds = set(Authenticator.objects.filter(user=user).values_list("type", flat=True))
    options = webauthn.begin_authentication(user) if "webauthn" in kinds else None
    return _ask(MfaRequired, *sorted(kinds), options=options)


def _ask(step: type[SSOError], *methods: str, options: dict[str, Any] | None = None) -> StepBody:
    return StepBody(error=step.code, message=step.public, methods=methods, webauthn=options)


def _pending(request: HubRequest) -> LoginStage | None:
    """The step this browser's unfinished sign-in has come to."""
    login = unstash_login(request, peek=True)
    if login is None:
        return None
    controller = LoginStageController(request, login)
    return cast("LoginStage | None", controller.get_stage(controller.state.get("current")))


def _form(name: str, default: type[Form], **arguments: Any) -> Form:
    return cast(Form, get_form_class(mfa_settings.FORMS, name, default)(**arguments))


def _valid(form: Any) -> Any:
    if not form.is_valid():
        raise BadCredentials(f"refused: {sorted(form.errors)}")
    return form


def _leave(stage: LoginStage, form: Any) -> None:
    _valid(form).save()
    stage.exit()
