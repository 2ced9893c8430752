"""What the auth server keeps in SQL beside people: relying apps, and changes that sessions must follow."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, cast

import msgspec
from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import RegexValidator
from django.db import models, transaction
from django.utils.translation import gettext_lazy as _

from sso.access import AccessPolicy
from sso.colours import Colour
from sso.images import LARGEST_OF_APP, Image
from sso.oidc import addresses
from sso.origins import Origin
from sso.registry import App
from sso.return_addresses import registered_form

#: What a list of names or addresses may hold.
_Texts = list[Annotated[str, msgspec.Meta(min_length=1)]]


LISTS = (
    "origins",
    "return_addresses",
    "groups",
    "secret_hashes",
    "redirect_uris",
    "post_logout_redirect_uris",
)


def _strings() -> models.JSONField[Any, Any]:
    return models.JSONField(default=list, blank=True)


class RelyingApp(models.Model):
    """An app that trusts us. Saving one publishes the registry to every process."""

    name = models.CharField(
        max_length=60,
        unique=True,
        validators=[RegexValidator(r"\A[a-z0-9][a-z0-9-]*\Z", _("Use small letters, digits and hyphens."))],
    )
    title = models.CharField(max_length=120, blank=True, help_text=_("What people see; the name if empty."))
    client_id = models.CharField(max_length=60, unique=True, editable=False)
    secret_hashes: Any = models.JSONField(default=list, editable=False)
    origins: Any = _strings()
    return_addresses: Any = models.JSONField(
        default=list, blank=True, help_text=_("Empty: any address of the origins. Otherwise exactly these.")
    )
    groups: Any = models.JSONField(
        default=list, blank=True, help_text=_("Empty: everybody. Otherwise members of any of these groups.")
    )
    launch_url = models.CharField(
        max_length=500, blank=True, help_text=_("Where My apps leads; the first origin if empty.")
    )
    #: SVG, PNG or WebP, 64 KiB at most; shown where people sign in for this app.
    logo: Any = models.BinaryField(_("logo"), default=b"", blank=True)
    logo_name = models.CharField(max_length=40, blank=True, editable=False, db_index=True)
    colour = models.CharField(
        _("colour"), max_length=7, blank=True, help_text=_("Such as #0d6a5b; one of ours if empty.")
    )
    access: Any = models.JSONField(default=dict, blank=True)
    redirect_uris: Any = models.JSONField(
        default=list,
        blank=True,
        help_text=_("OpenID Connect: where people come back to, exactly. Empty: the app does not use it."),
    )
    post_logout_redirect_uris: Any = models.JSONField(
        default=list, blank=True, help_text=_("OpenID Connect: where people may be sent after signing out.")
    )
    backchannel_logout_uri = models.CharField(
        max_length=500,
        blank=True,
        help_text=_("Where the app is told that a sign-in ended (OpenID Connect Back-Channel Logout)."),
    )
    backchannel_logout_session_required = models.BooleanField(
        default=False, help_text=_("The app needs to be told which sign-in it was, not only whose.")
    )
    token_auth_method = models.CharField(
        max_length=20,
        choices=[
            ("client_secret_basic", _("Secret in the Authorization header")),
            ("client_secret_post", _("Secret in the form")),
            ("none", _("No secret: an app in the browser or on a device")),
        ],
        default="client_secret_basic",
        help_text=_("OpenID Connect: how the app proves itself when it fetches tokens."),
    )
    created = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.title or self.name

    def clean(self) -> None:
        """Put origins in canonical form; refuse what is not one, and an origin that another app has."""
        self._clean_lists()
        errors: dict[str, list[str]] = {}
        self.origins = _canonical_origins(self.origins, errors)
        if not self.origins and not self.redirect_uris and "origins" not in errors:
            errors["origins"] = ["Name at least one origin, such as https://app.example.com."]
        for hub in {str(site.hub) for site in settings.SSO_SITES} & set(self.origins):
            errors.setdefault("origins", []).append(f"{hub} is the auth server itself, and no app.")
        others = RelyingApp.objects.exclude(pk=self.pk).defer("logo")
        for other in others:
            for origin in set(self.origins) & set(other.origins):
                errors.setdefault("origins", []).append(f"{origin} belongs to the app {other.name} already.")
        self._clean_oidc(errors)
        self._clean_addresses(errors)
        self._clean_looks(errors)
        try:
            msgspec.convert(self.access, AccessPolicy)
        except msgspec.ValidationError as error:
            errors["access"] = [str(error)]
        if errors:
            raise ValidationError(cast(Any, errors))

    def _clean_lists(self) -> None:
        """One entry that readers of the registry do not expect would make all apps unknown to them."""
        try:
            for field in LISTS:
                setattr(self, field, msgspec.convert(getattr(self, field), _Texts))
        except msgspec.ValidationError as error:
            raise ValidationError({field: [f"A list of texts is needed: {error}."]}) from None

    def _clean_addresses(self, errors: dict[str, list[str]]) -> None:
        """Addresses in the spelling they are compared in; each at an origin of this app."""
        addresses = []
        for address in self.return_addresses:
            try:
                addresses.append(registered_form(self._at_home(address)))
            except ValueError as error:
                errors.setdefault("return_addresses", []).append(str(error))
        self.return_addresses = addresses
        try:
            self.launch_url = self._at_home(self.launch_url) if self.launch_url else ""
        except ValueError as error:
            errors["launch_url"] = [str(error)]

    def _clean_looks(self, errors: dict[str, list[str]]) -> None:
        """A picture that browsers show and nothing runs in, called by its content; a colour that is one."""
        try:
            self.colour = str(Colour.parse(self.colour)) if self.colour else ""
        except ValueError as error:
            errors["colour"] = [f"{self.colour}: {error}."]
        if "logo" in self.get_deferred_fields():
            return
        try:
            self.logo_name = Image.of(bytes(self.logo), largest=LARGEST_OF_APP).name if self.logo else ""
        except ValueError as error:
            errors["logo"] = [f"This is {error}."]

    def _clean_oidc(self, errors: dict[str, list[str]]) -> None:
        """Exact addresses that nobody can read in two ways, each once."""
        for field in ("redirect_uris", "post_logout_redirect_uris"):
            for address in dict.fromkeys(getattr(self, field)):
                _check(addresses.registered, address, errors, field)
            setattr(self, field, list(dict.fromkeys(getattr(self, field))))
        if self.backchannel_logout_uri:
            _check(addresses.registered, self.backchannel_logout_uri, errors, "backchannel_logout_uri")

    def _homes(self) -> set[str]:
        """The origins, and for an app that only speaks OpenID Connect those people come back to."""
        return {*self.origins, *(addresses.origin_of(uri) for uri in self.redirect_uris)}

    def _at_home(self, address: str) -> str:
        """The address, if it is at one of this app's origins; else ``ValueError``."""
        if not any(address == origin or address.startswith(origin + "/") for origin in self._homes()):
            raise ValueError(f"{address} is at none of this app's origins.")
        return address

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Validate, save and publish. Raises ``ValidationError``: what is published is what everybody trusts."""
        from sso.registry_publishing import publish

        self.full_clean()
        with transaction.atomic():
            super().save(*args, **kwargs)
            transaction.on_commit(publish)

    def delete(self, *args: Any, **kwargs: Any) -> tuple[int, dict[str, int]]:
        from sso.registry_publishing import publish

        with transaction.atomic():
            done = super().delete(*args, **kwargs)
            transaction.on_commit(publish)
        return done

    def as_app(self) -> App:
        """The published value."""
        return App(
            name=self.name,
            title=self.title or self.name,
            client_id=self.client_id,
            secret_hashes=tuple(self.secret_hashes),
            origins=tuple(self.origins),
            return_addresses=tuple(self.return_addresses),
            groups=tuple(self.groups),
            launch_url=self.launch_url or (self.origins[0] + "/" if self.origins else ""),
            logo=self.logo_name,
            colour=self.colour,
            access=msgspec.convert(self.access, AccessPolicy),
            redirect_uris=tuple(self.redirect_uris),
            post_logout_redirect_uris=tuple(self.post_logout_redirect_uris),
            backchannel_logout_uri=self.backchannel_logout_uri,
            backchannel_logout_session_required=self.backchannel_logout_session_required,
            token_auth_method=self.token_auth_method,
        )


def _check(judge: Callable[[str], str], address: str, errors: dict[str, list[str]], field: str) -> None:
    try:
        judge(address)
    except ValueError as error:
        errors.setdefault(field, []).append(str(error))


def _canonical_origins(texts: list[str], errors: dict[str, list[str]]) -> list[str]:
    origins = []
    for text in texts:
        try:
            origins.append(str(Origin.parse(text)))
        except ValueError as error:
            errors.setdefault("origins", []).append(str(error))
    return list(dict.fromkeys(origins))


class AdminPermission(models.Model):  # noqa: DJ008 - has no rows
    """No table: what an administrator may be allowed beside the tables of Django's."""

    class Meta:
        managed = False
        default_permissions = ()
        permissions = [
            ("view_sessions", "Can see who is signed in where"),
            ("end_sessions", "Can end sign-ins"),
            ("sign_in_as", "Can sign in as somebody else, for support"),
            ("view_doctor", "Can use the cookie doctor for any app"),
        ]


class IdentityChange(models.Model):
    """A changed person whose sessions are not yet in line; normally gone within milliseconds."""

    user_id = models.UUIDField()
    created = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return str(self.user_id)
