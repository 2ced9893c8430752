"""The environment: every setting in one typed object, read once, all mistakes reported at once.

Values come from the process's environment, then from ``.env`` in the project's folder (``SSO_ENV_FILE``). Secrets
may instead be given as ``NAME_FILE``, the path of a file that holds the value. docs/settings.md explains each one.
"""

import os
import re
import secrets
from collections.abc import Mapping
from contextlib import suppress
from email.utils import formataddr, parseaddr
from pathlib import Path
from typing import Annotated, Any, Final

import dj_database_url
from pydantic import BeforeValidator, Field, ValidationError, ValidationInfo, field_validator
from pydantic_settings import (
    BaseSettings,
    DotEnvSettingsSource,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)
from sso_client import connections

from accounts.bloom import Filter
from authserver.branding import (
    Link,
    parse_accent,
    parse_address,
    parse_dark_accent,
    parse_folder,
    parse_links,
    parse_logo,
)
from authserver.languages import COMPLETE
from authserver.mail_address import MailServer
from sso.backchannel.targets import parse_networks
from sso.colours import Colour
from sso.images import Image
from sso.metrics.door import parse_token
from sso.origins import is_beneath
from sso.proxies import Network, TrustedProxies
from sso.sites import Sites, check_cookie_domain

PROJECT: Final = Path(__file__).resolve().parent.parent

#: Read before anything else, so it counts in the process's environment alone.
ENV_FILE: Final = PROJECT / (os.environ.get("SSO_ENV_FILE") or ".env")

#: Variables whose values are never shown, and which may be given as ``NAME_FILE``.
SECRETS: Final = frozenset(
    {"SECRET_KEY", "SECRET_KEY_FALLBACKS", "DATABASE_URL", "SSO_REDIS_URL", "SSO_MAIL_URL"}
    | {"SSO_METRICS_TOKEN"}
)

#: Browsers keep no cookie longer than 400 days (RFC 6265bis §5.5).
LONGEST_COOKIE: Final = 400 * 86_400

_UNITS: Final = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86_400}
_WORDS: Final = {"1": True, "true": True, "yes": True, "on": True} | {
    "0": False,
    "false": False,
    "no": False,
    "off": False,
}
#: ``__Secure-`` and one or more characters of an RFC 9110 §5.6.2 token.
_COOKIE_NAME: Final = re.compile(r"__Secure-[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}", re.ASCII)
#: Printable, and nothing that Redis reads as a glob in an ACL or a key pattern.
_PREFIX: Final = re.compile(r"[A-Za-z0-9_.:{}/-]{1,64}", re.ASCII)


class EnvironmentRefused(Exception):
    """The environment holds wrong values; ``str()`` is one line for each, fit to be printed as it is."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        #: ``VARIABLE=value: what is wrong. Remedy.``
        self.problems = tuple(problems)


class _Unreadable(str):
    """Stands in for a value that ``NAME_FILE`` promised and did not deliver; the text says why."""


def _readable(value: Any) -> Any:
    if isinstance(value, _Unreadable):
        raise ValueError(str(value))  # noqa: TRY004 - pydantic collects ValueErrors
    return value


def parse_duration(text: str) -> int:
    """Read seconds, or a number with s, m, h or d: ``90``, ``15m``, ``1h``, ``30d``; give seconds."""
    match = re.fullmatch(r"([0-9]{1,9})([smhd]?)", text.strip().lower(), re.ASCII)
    if match is None:
        raise ValueError("not a duration. Write seconds, or a number with s, m, h or d, such as 15m")
    seconds = int(match[1]) * _UNITS[match[2]]
    if not 0 < seconds <= LONGEST_COOKIE:
        raise ValueError("not between one second and the 400 days browsers keep a cookie. Choose another one")
    return seconds


def parse_retention(text: str) -> int:
    """Like a duration, from one day to ten years; gives seconds."""
    match = re.fullmatch(r"([0-9]{1,9})([smhd]?)", text.strip().lower(), re.ASCII)
    seconds = int(match[1]) * _UNITS[match[2]] if match else 0
    if not 86_400 <= seconds <= 3650 * 86_400:
        raise ValueError("not from one day to ten years. Write days such as 400d")
    return seconds


def _parse_timeout(text: str) -> float:
    if not re.fullmatch(r"[0-9]{1,3}(\.[0-9]{1,6})?", text, re.ASCII) or not 0.01 <= float(text) <= 10:
        raise ValueError("not a number of seconds from 0.01 to 10. Write a number such as 0.5")
    return float(text)


def _parse_bool(text: str) -> bool:
    if text.lower() not in _WORDS:
        raise ValueError("neither yes nor no. Write true or false")
    return _WORDS[text.lower()]


def _parse_bool_or_nothing(text: str) -> bool | None:
    return _parse_bool(text) if text else None


def _parse_path(text: str) -> Path:
    """A relative path starts at the project's folder, wherever the process was started."""
    return (PROJECT / Path(text).expanduser()).absolute()


def _parse_path_or_nothing(text: str) -> Path | None:
    return _parse_path(text) if text else None


def _parse_env_file(text: str) -> Path:
    path = _parse_path(text)
    if text != ".env" and not path.exists():
        raise ValueError("no such file. Name one with lines NAME=value, or unset this")
    return path


def _parse_list(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in re.split(r"[,\r\n]+", text) if part.strip())


def _parse_redis_url(text: str | None) -> str | None:
    """Check the address as the client will read it. Its words are not repeated: they may quote a password."""
    if not text:
        return None
    try:
        understood = "://" in text and connections.parse(text)
    except ValueError:
        understood = False
    if not understood:
        raise ValueError(
            "not a Redis address. Write redis://host:6379/0, rediss://…, unix:///path, "
            "redis+sentinel://host:port,host:port/name/0 or redis+cluster://host:port,host:port"
        )
    return text


def _parse_database_url(text: str) -> str:
    if not text:
        return text
    remedy = "Write postgresql://user:password@host:5432/name or sqlite:////absolute/path"
    try:
        engine = dj_database_url.parse(text).get("ENGINE", "")
    except ValueError:
        raise ValueError(f"not a database address. {remedy}") from None
    if not engine.endswith((".sqlite3", ".postgresql")):
        raise ValueError(f"neither PostgreSQL nor SQLite. {remedy}")
    return text


def _parse_registration(text: str) -> str:
    if text not in ("off", "open", "invitation"):
        raise ValueError("none of off, open and invitation. Write one of them")
    return text


def _parse_language(text: str) -> str:
    if text not in COMPLETE:
        raise ValueError(f"not a language that is complete here. Write one of {', '.join(COMPLETE)}")
    return text


def _parse_breached(text: str) -> Path | str | None:
    """A filter's path, or the address of a range API, to which five digits of a SHA-1 are appended."""
    if text == "off":
        return None
    if text.startswith(("https://", "http://127.0.0.1", "http://localhost")):
        return text if text.endswith("/") else f"{text}/"
    if "://" in text:
        raise ValueError("not https. Write https://api.pwnedpasswords.com/range/, a file, or off")
    path = _parse_path(text)
    try:
        Filter(path).close()
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else str(error)
        raise ValueError(
            f"{why}. Unset this, make the file with manage.py build_breached_passwords, then set it again"
        ) from None
    return path


def _parse_sender(text: str) -> str:
    """A mailbox, with a name if wanted (RFC 5322 §3.4); empty: made up from the primary site."""
    name, address = parseaddr(text)
    if text and not (text.isprintable() and re.fullmatch(r"[^@\s]+@[^@\s]+\.[^@\s]+", address)):
        raise ValueError("not an address to send from. Write Example <no-reply@example.com>")
    return formataddr((name, address)) if text else ""


def _parse_brand(text: str) -> str:
    if not text.isprintable() or len(text) > 60:
        raise ValueError("too long for a name, or not printable. Write at most 60 characters")
    return text


def _parse_prefix(text: str) -> str:
    if not _PREFIX.fullmatch(text):
        raise ValueError(
            "too long, or holds characters that Redis patterns give a meaning. Write one such as sso:"
        )
    return text


def _parse_cookie_name(text: str) -> str:
    if not _COOKIE_NAME.fullmatch(text):
        raise ValueError("not __Secure- followed by a token. Write a name such as __Secure-sso_session")
    return text


Readable: Final = BeforeValidator(_readable)
Duration = Annotated[int, BeforeValidator(parse_duration)]
List = Annotated[tuple[str, ...], BeforeValidator(_parse_list)]


def _variable(name: str, default: str = "") -> Any:
    """A setting read from ``name``; the default is spelled, parsed and checked as a value would be."""
    return Field(default, alias=name, repr=name not in SECRETS)


class _Variables(PydanticBaseSettingsSource):
    """The process's environment over ``.env``; in each layer ``NAME`` or ``NAME_FILE``, never both."""

    def __init__(self, settings_cls: type[BaseSettings], layers: list[Mapping[str, str | None]]) -> None:
        super().__init__(settings_cls)
        self.layers = layers

    def __call__(self) -> dict[str, Any]:
        names = (field.alias or "" for field in self.settings_cls.model_fields.values())
        found = {name: self._find(name) for name in names}
        return {name: value for name, value in found.items() if value is not None}

    def get_field_value(self, field: Any, field_name: str) -> tuple[Any, str, bool]:
        """Required by the base class; ``__call__`` reads everything."""
        return self._find(field.alias), field.alias, False

    def _find(self, name: str) -> str | None:
        return next((value for layer in self.layers if (value := _from_layer(layer, name))), None)


def _from_layer(layer: Mapping[str, str | None], name: str) -> str | None:
    """The value of ``name`` in one layer; an empty variable is an unset one."""
    value = (layer.get(name) or "").strip() or None
    path = layer.get(f"{name}_FILE") if name in SECRETS else None
    if not path:
        return value
    if value:
        return _Unreadable(f"{name} and {name}_FILE are both set. Keep one of them")
    return _from_file(Path(path))


def _from_file(path: Path) -> str:
    try:
        text = path.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "not text"
        return _Unreadable(f"its file {path} cannot be read ({why}). Correct the path or the permissions")
    return text or _Unreadable(f"its file {path} is empty. Put the value there")


class Environment(BaseSettings):
    """Every setting in one place: its type, its default, its unit. Built by ``read_environment``."""

    model_config = SettingsConfigDict(
        frozen=True,
        case_sensitive=True,
        env_ignore_empty=True,
        enable_decoding=False,
        validate_default=True,
        extra="ignore",
        hide_input_in_errors=True,
        arbitrary_types_allowed=True,
    )

    #: What counts where the process's environment is silent.
    env_file: Annotated[Path, BeforeValidator(_parse_env_file)] = _variable("SSO_ENV_FILE", ".env")
    #: Where the embedded Redis, SQLite and the generated secret key live; created when needed, mode 0700.
    data_dir: Annotated[Path, BeforeValidator(_parse_path)] = _variable("SSO_DATA_DIR", "data")
    #: Signs what the auth server hands out and wants back; generated once into the data folder when unset.
    secret_key: Annotated[str, Readable] = _variable("SECRET_KEY")
    #: Older keys that are still accepted, newest first.
    secret_key_fallbacks: Annotated[List, Readable] = _variable("SECRET_KEY_FALLBACKS")
    #: Show errors with their inside. Never on a machine that strangers reach.
    debug: Annotated[bool, BeforeValidator(_parse_bool)] = _variable("DEBUG", "false")
    #: PostgreSQL or SQLite; unset: SQLite in the data folder.
    database_url: Annotated[str, BeforeValidator(_parse_database_url), Readable] = _variable("DATABASE_URL")
    #: ``None``: the embedded server in the data folder.
    redis_url: Annotated[str | None, BeforeValidator(_parse_redis_url), Readable] = _variable("SSO_REDIS_URL")
    #: Before every key in Redis.
    redis_prefix: Annotated[str, BeforeValidator(_parse_prefix)] = _variable("SSO_REDIS_PREFIX", "sso:")
    #: Seconds a request waits for Redis at most, retries included.
    redis_timeout: Annotated[float, BeforeValidator(_parse_timeout)] = _variable("SSO_REDIS_TIMEOUT", "0.5")
    #: Cookie domains and their hubs, the primary one first.
    sites: Annotated[Sites, BeforeValidator(Sites.parse)] = _variable(
        "SSO_SITES", "example.localhost=http://auth.example.localhost:8000"
    )
    #: Domains that cookies were set for before; the hub expires what is left of them.
    older_cookie_domains: List = _variable("SSO_OLDER_COOKIE_DOMAINS")
    #: The shared cookie.
    cookie_name: Annotated[str, BeforeValidator(_parse_cookie_name)] = _variable(
        "SSO_COOKIE_NAME", "__Secure-sso_session"
    )
    #: Seconds without any activity until a sign-in ends.
    idle_timeout: Duration = _variable("SSO_IDLE_TIMEOUT", "1h")
    #: Seconds until a sign-in ends, however busy the person is.
    absolute_lifetime: Duration = _variable("SSO_ABSOLUTE_LIFETIME", "24h")
    #: The same with "remember me".
    remember_lifetime: Duration = _variable("SSO_REMEMBER_LIFETIME", "30d")
    #: Whose ``X-Forwarded-*`` headers count.
    trusted_proxies: Annotated[TrustedProxies, BeforeValidator(TrustedProxies.parse)] = _variable(
        "SSO_TRUSTED_PROXIES"
    )

    #: Who may read ``/metrics``: whoever has this, comes from there, or both where both are set; else nobody.
    metrics_token: Annotated[str, BeforeValidator(parse_token), Readable] = _variable("SSO_METRICS_TOKEN")
    metrics_from: Annotated[TrustedProxies, BeforeValidator(TrustedProxies.parse)] = _variable(
        "SSO_METRICS_FROM"
    )

    #: Networks of one's own that may be told when somebody signs out; others only on the Internet.
    backchannel_networks: Annotated[tuple[Network, ...], BeforeValidator(parse_networks)] = _variable(
        "SSO_BACKCHANNEL_NETWORKS"
    )

    #: What people read as the name of this service.
    brand: Annotated[str, BeforeValidator(_parse_brand)] = _variable("SSO_BRAND", "Single sign-on")
    #: The picture beside or instead of the mark, and the one for dark pages.
    logo: Annotated[Image | None, BeforeValidator(parse_logo), BeforeValidator(_parse_path_or_nothing)] = (
        _variable("SSO_LOGO")
    )
    logo_dark: Annotated[
        Image | None, BeforeValidator(parse_logo), BeforeValidator(_parse_path_or_nothing)
    ] = _variable("SSO_LOGO_DARK")
    #: The colour of buttons and links on light pages, and on dark ones; one alone is adapted for the other.
    accent: Annotated[Colour | None, BeforeValidator(parse_accent)] = _variable("SSO_ACCENT")
    accent_dark: Annotated[Colour | None, BeforeValidator(parse_dark_accent)] = _variable("SSO_ACCENT_DARK")
    #: What the foot of each page links to.
    footer_links: Annotated[tuple[Link, ...], BeforeValidator(parse_links)] = _variable("SSO_FOOTER_LINKS")
    #: Where people find help.
    support_link: Annotated[str, BeforeValidator(parse_address)] = _variable("SSO_SUPPORT_LINK")
    #: Templates that stand before ours.
    templates_dir: Annotated[
        Path | None, BeforeValidator(parse_folder), BeforeValidator(_parse_path_or_nothing)
    ] = _variable("SSO_TEMPLATES_DIR")
    #: Who may make themselves an account: ``off``, ``open`` (everybody) or ``invitation``.
    registration: Annotated[str, BeforeValidator(_parse_registration)] = _variable("SSO_REGISTRATION", "off")
    #: For browsers that ask for no language of ours, and what is not translated.
    default_language: Annotated[str, BeforeValidator(_parse_language)] = _variable(
        "SSO_DEFAULT_LANGUAGE", "en"
    )
    #: Whether people may delete their own account.
    account_deletion: Annotated[bool, BeforeValidator(_parse_bool)] = _variable("SSO_ACCOUNT_DELETION", "off")
    #: Whether the doctor asks hubs and apps by itself now and then.
    doctor_rounds: Annotated[bool, BeforeValidator(_parse_bool)] = _variable("SSO_DOCTOR_ROUNDS", "on")
    #: Whether the admin wants a second factor; unsaid: see ``asks_admins_for_second_factor``.
    admin_second_factor: Annotated[bool | None, BeforeValidator(_parse_bool_or_nothing)] = _variable(
        "SSO_ADMIN_SECOND_FACTOR"
    )
    #: Where passwords that became public are looked up: a filter, the address of a range API, or nowhere.
    breached_passwords: Annotated[Path | str | None, BeforeValidator(_parse_breached)] = _variable(
        "SSO_BREACHED_PASSWORDS", "off"
    )
    #: The mail server.
    mail_url: Annotated[MailServer, BeforeValidator(MailServer.parse), Readable] = _variable(
        "SSO_MAIL_URL", "console://"
    )
    #: Who mail is from; empty until ``_sender_of_the_primary_site``.
    mail_from: Annotated[str, BeforeValidator(_parse_sender)] = _variable("SSO_MAIL_FROM")

    @property
    def asks_admins_for_second_factor(self) -> bool:
        """Where nothing is said: on every hub but those of a trial on one's own machine."""
        if self.admin_second_factor is not None:
            return self.admin_second_factor
        return self.sites.primary.hub.scheme == "https"

    #: Seconds that events of the audit trail are kept.
    audit_retention: Annotated[int, BeforeValidator(parse_retention)] = _variable(
        "SSO_AUDIT_RETENTION", "400d"
    )

    @field_validator("mail_from")
    @classmethod
    def _sender_of_the_primary_site(cls, value: str, info: ValidationInfo) -> str:
        sites: Sites | None = info.data.get("sites")
        brand = str(info.data.get("brand", ""))
        return value or (formataddr((brand, f"no-reply@{sites.primary.domain}")) if sites else "")

    @field_validator("database_url")
    @classmethod
    def _sqlite_by_default(cls, value: str, info: ValidationInfo) -> str:
        return value or f"sqlite:///{info.data.get('data_dir')}/db.sqlite3"

    @field_validator("older_cookie_domains")
    @classmethod
    def _older_domains_reach_a_hub(cls, value: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        """A browser lets a hub expire cookies only for domains the hub is in."""
        sites: Sites | None = info.data.get("sites")
        for domain in value:
            check_cookie_domain(domain)
            if sites and not any(is_beneath(site.hub.host, domain) for site in sites):
                raise ValueError(
                    f"{domain}: no hub is below it, so none could expire its cookies. Leave it out"
                )
        return value

    @field_validator("absolute_lifetime")
    @classmethod
    def _idle_fits(cls, value: int, info: ValidationInfo) -> int:
        if value < info.data.get("idle_timeout", 0):
            raise ValueError(
                "shorter than SSO_IDLE_TIMEOUT, which could never apply. Raise this one or lower that one"
            )
        return value

    @field_validator("remember_lifetime")
    @classmethod
    def _absolute_fits(cls, value: int, info: ValidationInfo) -> int:
        if value < info.data.get("absolute_lifetime", 0):
            raise ValueError(
                "shorter than SSO_ABSOLUTE_LIFETIME, so remembering would forget. "
                "Raise this one or lower that one"
            )
        return value

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Our one source, fed with the variables that pydantic-settings has read."""
        layers = [
            source.env_vars
            for source in (env_settings, dotenv_settings)
            if isinstance(source, EnvSettingsSource | DotEnvSettingsSource)
        ]
        return (_Variables(settings_cls, layers),)


def variables() -> frozenset[str]:
    """The names of all variables that are read, the ``NAME_FILE`` of each secret included."""
    names = {field.alias for field in Environment.model_fields.values() if field.alias}
    return frozenset(names | {f"{name}_FILE" for name in SECRETS})


def read_environment(*, env_file: Path | None = ENV_FILE) -> Environment:
    """Read and check the environment and ``env_file``; make the data folder and the secret key when they are needed.

    Raises:
        EnvironmentRefused: one line for each wrong value.
    """
    try:
        environment = Environment(_env_file=env_file)  # type: ignore[call-arg]
    except ValidationError as error:
        raise EnvironmentRefused([_line(problem) for problem in error.errors()]) from None
    try:
        return _with_secret_key(environment)
    except OSError as error:
        raise EnvironmentRefused(
            [
                f"SSO_DATA_DIR={environment.data_dir}: cannot be used ({error.strerror}). "
                "Name a folder to write to."
            ]
        ) from None


def _line(problem: Any) -> str:
    """``VARIABLE=value: what is wrong. Remedy.``"""
    name, message = str(problem["loc"][0]), str(problem["msg"]).removeprefix("Value error, ")
    note = ""
    if (
        name in Environment.model_fields
    ):  # pydantic names the field, not the variable, when the default is wrong
        name, note = Environment.model_fields[name].alias or name, " (the default)"
    if name in SECRETS:
        return f"{name}=(hidden): {message}."
    return f"{name}={_printable(str(problem['input']))}{note}: {message}."


def _printable(value: str) -> str:
    """One line of a terminal, whatever somebody put into a variable."""
    return value if value.isprintable() and len(value) <= 200 else ascii(value)[1:200]


def _with_secret_key(environment: Environment) -> Environment:
    uses_data = not environment.secret_key or not environment.redis_url or _default_database(environment)
    if uses_data:
        environment.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    if environment.secret_key:
        return environment
    return environment.model_copy(update={"secret_key": _own_secret_key(environment.data_dir)})


def _default_database(environment: Environment) -> bool:
    return environment.database_url.startswith(f"sqlite:///{environment.data_dir}/")


def _own_secret_key(data_dir: Path) -> str:
    """Read the generated key, made on first use.

    Written aside and linked into place: of many processes that start at once one wins, and none reads
    half a key.
    """
    path = data_dir / "secret_key"
    if not path.exists():
        aside = data_dir / f".secret_key-{secrets.token_hex(8)}"
        with os.fdopen(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(secrets.token_urlsafe(48) + "\n")
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileExistsError):
            os.link(aside, path)
        aside.unlink()
    key = path.read_text().strip()
    if len(key) < 50:
        raise EnvironmentRefused(
            [f"SECRET_KEY=(hidden): {path} holds no whole key. Delete it or set SECRET_KEY."]
        )
    return key
