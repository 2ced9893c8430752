"""Django's settings, from the typed environment; what may be set is in ``docs/settings.md``."""

from __future__ import annotations

import sys
from pathlib import Path

import dj_database_url

from authserver import languages
from authserver.environment import EnvironmentRefused, read_environment

try:
    env = read_environment()
except EnvironmentRefused as refused:
    sys.exit(str(refused))

BASE_DIR = Path(__file__).resolve().parent.parent

SECRET_KEY = env.secret_key
SECRET_KEY_FALLBACKS = list(env.secret_key_fallbacks)
DEBUG = env.debug
ALLOWED_HOSTS = list(env.sites.hub_hosts)

SSO_DATA_DIR = env.data_dir
SSO_REDIS_URL = env.redis_url
SSO_REDIS_PREFIX = env.redis_prefix
SSO_REDIS_TIMEOUT = env.redis_timeout
SSO_SITES = env.sites
SSO_OLDER_COOKIE_DOMAINS = env.older_cookie_domains
SSO_COOKIE_NAME = env.cookie_name
SSO_IDLE_TIMEOUT = env.idle_timeout
SSO_ABSOLUTE_LIFETIME = env.absolute_lifetime
SSO_REMEMBER_LIFETIME = env.remember_lifetime
SSO_TRUSTED_PROXIES = env.trusted_proxies
SSO_BRAND = env.brand
SSO_LOGO, SSO_LOGO_DARK = env.logo, env.logo_dark
SSO_ACCENT, SSO_ACCENT_DARK = env.accent, env.accent_dark
SSO_FOOTER_LINKS, SSO_SUPPORT_LINK = env.footer_links, env.support_link
SSO_TEMPLATES_DIR = env.templates_dir
SSO_BREACHED_PASSWORDS = env.breached_passwords
SSO_REGISTRATION = env.registration
SSO_ACCOUNT_DELETION = env.account_deletion
SSO_DOCTOR_ROUNDS = env.doctor_rounds
SSO_AUDIT_RETENTION = env.audit_retention
SSO_BACKCHANNEL_NETWORKS = env.backchannel_networks
SSO_ADMIN_SECOND_FACTOR = env.asks_admins_for_second_factor

INSTALLED_APPS = [
    "accounts",
    "sso",
    "sso.audit",
    "sso.oidc",
    "sso.backchannel",
    "sso.exposure",
    "unfold.apps.BasicAppConfig",
    "unfold.contrib.filters",
    "unfold.contrib.forms",
    "unfold.contrib.import_export",
    "sso.apps.HubAdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "import_export",
    "django.contrib.messages",
    "django.contrib.humanize",
    "allauth",
    "allauth.account",
    "allauth.mfa",
    "corsheaders",
    "csp",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
]

MIDDLEWARE = [
    "sso.middleware.metering.MeteringMiddleware",
    "sso.audit.middleware.AuditMiddleware",
    # Headers first, so that also a refused host is answered with them.
    "django.middleware.security.SecurityMiddleware",
    "csp.middleware.CSPMiddleware",
    "accounts.preferences.LanguageMiddleware",
    "sso.middleware.addressing.AddressingMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "accounts.brand.BrandMiddleware",
    "sso.api.cors.CorsMiddleware",
    "sso.middleware.cookies.CookiesMiddleware",
    "django.middleware.common.CommonMiddleware",
    "accounts.page_defaults.PageDefaultsMiddleware",
    "sso.handoff.middleware.OneHubMiddleware",
    "sso.api.csrf.CsrfMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "accounts.preferences.PersonalMiddleware",
    "sso.middleware.impersonated.ImpersonatedMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "sso.middleware.outages.OutagesMiddleware",
]

# The admin looks for Django's session middleware by name; ours is ``CookiesMiddleware``.
SILENCED_SYSTEM_CHECKS = ["admin.E410"]

ROOT_URLCONF = "authserver.urls"
WSGI_APPLICATION = "authserver.wsgi.application"
APPEND_SLASH = False
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [env.templates_dir] if env.templates_dir else [],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]

# -- stores

_SQLITE = {"transaction_mode": "IMMEDIATE", "timeout": 5, "init_command": "PRAGMA journal_mode=WAL;"}
_POSTGRESQL = {"connect_timeout": 2, "tcp_user_timeout": 5000}  # seconds, milliseconds
DATABASES = {"default": dj_database_url.parse(env.database_url, conn_max_age=60, conn_health_checks=True)}
if DATABASES["default"]["ENGINE"].endswith("sqlite3"):
    DATABASES["default"]["OPTIONS"] = _SQLITE
    # A file in tests too, so that a second process can be looked at.
    DATABASES["default"]["TEST"] = {"NAME": str(env.data_dir / "test.sqlite3")}
elif DATABASES["default"]["ENGINE"].endswith("postgresql"):
    # A server that takes no connection, or a network that swallows what is sent, holds nobody for minutes.
    DATABASES["default"].setdefault("OPTIONS", {})
    DATABASES["default"]["OPTIONS"] = {**_POSTGRESQL, **DATABASES["default"]["OPTIONS"]}
CACHES = {
    "default": {
        "BACKEND": "django_redis.cache.RedisCache",
        "LOCATION": "shared with everything else, see CONNECTION_FACTORY",
        "KEY_PREFIX": f"{env.redis_prefix}cache",
        "OPTIONS": {"CONNECTION_FACTORY": "sso.cache.ConnectionFactory"},
    }
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# -- people

AUTH_USER_MODEL = "accounts.User"
LOGIN_URL = "login"
PASSWORD_HASHERS = [
    "django.contrib.auth.hashers.Argon2PasswordHasher",
    "django.contrib.auth.hashers.PBKDF2PasswordHasher",
    "django.contrib.auth.hashers.ScryptPasswordHasher",
    "django.contrib.auth.hashers.BCryptSHA256PasswordHasher",
    "django.contrib.auth.hashers.BCryptPasswordHasher",  # people who come from elsewhere
]
_RULES = "django.contrib.auth.password_validation."
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "accounts.validators.MinimumLengthValidator"},
    {"NAME": "accounts.validators.MaximumLengthValidator"},
    {"NAME": _RULES + "CommonPasswordValidator"},
    {
        "NAME": _RULES + "UserAttributeSimilarityValidator",
        "OPTIONS": {"user_attributes": ["username", "email", "name"]},
    },
    {"NAME": "accounts.validators.ContextWordsValidator"},
    {"NAME": "accounts.validators.GuessableValidator"},
    {"NAME": "accounts.validators.BreachedValidator"},
]
PWNED_PASSWORDS = {
    "ADD_PADDING": True,
    "API_TIMEOUT": 1.0,
}  # seconds a step; accounts.breached limits the whole

# -- the steps of a sign-in (django-allauth)

ACCOUNT_ADAPTER = "accounts.adapter.AccountAdapter"
ACCOUNT_LOGIN_METHODS = {"username", "email"}
ACCOUNT_SIGNUP_FIELDS = ["username*", "email*", "password1*"]
ACCOUNT_EMAIL_VERIFICATION = "mandatory"
ACCOUNT_EMAIL_NOTIFICATIONS = True
ACCOUNT_LOGIN_BY_CODE_ENABLED = True
ACCOUNT_REAUTHENTICATION_REQUIRED = True
ACCOUNT_REAUTHENTICATION_TIMEOUT = 5 * 60
ACCOUNT_SESSION_REMEMBER = False
ACCOUNT_FORMS = {
    "change_password": "accounts.password_forms.Change",
    "set_password": "accounts.password_forms.Set",
    "reset_password_from_key": "accounts.password_forms.Reset",
    "reset_password": "accounts.recovery.AskForReset",
    "request_login_code": "accounts.recovery.AskForCode",
    "confirm_login_code": "accounts.factor_forms.MailedCode",
}
LOGIN_REDIRECT_URL = "/"
# Asking for mail is limited by accounts.throttle, one atomic step for each mailbox and each address.
ACCOUNT_RATE_LIMITS = {"reset_password": "", "request_login_code": ""}
PASSWORD_RESET_TIMEOUT = 60 * 60
MFA_ADAPTER = "accounts.factors.FactorsAdapter"
MFA_FORMS = {
    "activate_totp": "accounts.factor_forms.ActivateTOTP",
    "authenticate": "accounts.factor_forms.AuthenticateByCode",
    "reauthenticate": "accounts.factor_forms.ReauthenticateByCode",
    "authenticate_webauthn": "accounts.factor_forms.Authenticate",
    "login_webauthn": "accounts.factor_forms.Login",
    "reauthenticate_webauthn": "accounts.factor_forms.Reauthenticate",
    "add_webauthn": "accounts.factor_forms.Add",
}
MFA_SUPPORTED_TYPES = ["totp", "webauthn", "recovery_codes"]
MFA_RECOVERY_CODES_SHOW_ONCE = True
MFA_PASSKEY_LOGIN_ENABLED = True
MFA_TRUST_ENABLED = True
MFA_TRUST_COOKIE_NAME = "__Host-sso_trust"
MFA_TRUST_COOKIE_SECURE = True
MFA_TRUST_COOKIE_HTTPONLY = True

# -- the administrator's pages (django-unfold)

UNFOLD = {
    "SITE_TITLE": env.brand,
    "SITE_HEADER": env.brand,
    "SITE_SYMBOL": "key",
    "COLORS": {
        # The green of the other pages: 600 carries white text, 500 stands on dark ground.
        "primary": {
            "50": "240 250 247",
            "100": "210 242 234",
            "200": "164 229 214",
            "300": "110 211 190",
            "400": "74 194 170",
            "500": "45 175 150",
            "600": "13 106 91",
            "700": "9 81 69",
            "800": "9 68 58",
            "900": "8 55 48",
            "950": "4 33 29",
        }
    },
    "DASHBOARD_CALLBACK": "sso.admin.dashboard.context",
    "SHOW_VIEW_ON_SITE": False,
    "STYLES": ["sso.admin.pages.stylesheet"],
    "SITE_FAVICONS": [{"rel": "icon", "type": "image/svg+xml", "href": "sso.admin.pages.favicon"}],
    "SIDEBAR": {"show_search": True, "navigation": "sso.admin.pages.sidebar"},
    "ACCOUNT": {"navigation": [{"title": "My account", "link": "/account/"}]},
}

# Cells of a file that a spreadsheet would run are disarmed; a file between look and import lies in Redis, for minutes.
IMPORT_EXPORT_ESCAPE_FORMULAE_ON_EXPORT = True
IMPORT_EXPORT_TMP_STORAGE_CLASS = "accounts.people_files.BriefStorage"
IMPORT_EXPORT_IMPORT_PERMISSION_CODE, IMPORT_EXPORT_EXPORT_PERMISSION_CODE = "import", "export"

# -- mail

EMAIL_BACKEND = (
    "django.core.mail.backends." + ("console" if env.mail_url.prints else "smtp") + ".EmailBackend"
)
EMAIL_HOST, EMAIL_PORT = env.mail_url.host, env.mail_url.port
EMAIL_HOST_USER, EMAIL_HOST_PASSWORD = env.mail_url.username, env.mail_url.password
EMAIL_USE_TLS, EMAIL_USE_SSL = env.mail_url.use_tls, env.mail_url.use_ssl
EMAIL_TIMEOUT = 10  # seconds, in the sender's thread: no request waits for mail
DEFAULT_FROM_EMAIL = SERVER_EMAIL = env.mail_from

# -- sessions and cookies; every cookie but the shared one stays on the hub's host

SESSION_ENGINE = "sso.hub_sessions"
SESSION_COOKIE_NAME = "__Host-sso_hub"
SESSION_COOKIE_SECURE = True
CSRF_COOKIE_NAME = "__Host-sso_csrf"
CSRF_COOKIE_SECURE = True
CSRF_COOKIE_HTTPONLY = True
CSRF_COOKIE_SAMESITE = "Lax"
CSRF_COOKIE_AGE = None
CSRF_FAILURE_VIEW = "accounts.csrf_page.csrf_failure"
LANGUAGE_COOKIE_NAME = "__Host-sso_language"
LANGUAGE_COOKIE_SECURE = True
MESSAGE_STORAGE = "django.contrib.messages.storage.session.SessionStorage"

# -- headers

SECURE_HSTS_SECONDS = 2 * 365 * 24 * 3600
SECURE_HSTS_INCLUDE_SUBDOMAINS = True
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
SECURE_CROSS_ORIGIN_OPENER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": ["'none'"],
        "script-src": ["'self'"],
        "style-src": ["'self'"],
        "img-src": ["'self'"],
        "font-src": ["'self'"],
        "connect-src": ["'self'"],
        "manifest-src": ["'self'"],
        "form-action": ["'self'"],
        "base-uri": ["'none'"],
        "object-src": ["'none'"],
        "frame-ancestors": ["'none'"],
    }
}
CORS_ALLOW_CREDENTIALS = True
CORS_ALLOW_METHODS = ("GET", "HEAD", "POST", "DELETE")
CORS_ALLOW_HEADERS = (
    "accept",
    "authorization",
    "content-type",
    "x-csrf-token",
    "x-csrftoken",
    "x-requested-with",
    "x-xsrf-token",
)
CORS_EXPOSE_HEADERS = ("Retry-After",)
CORS_PREFLIGHT_MAX_AGE = 600
DATA_UPLOAD_MAX_MEMORY_SIZE = 64 * 1024

# -- pages

STATIC_URL = "static/"
STATIC_ROOT = env.data_dir / "static"
WHITENOISE_USE_FINDERS = True
LANGUAGE_CODE = env.default_language
LANGUAGES = languages.named()
FORMAT_MODULE_PATH = "accounts.formats"
TIME_ZONE = "UTC"
USE_TZ = True

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "line": {"()": "authserver.logs.OneLine", "format": "%(asctime)s %(levelname)s %(name)s %(message)s"},
        "bare": {"format": "%(message)s"},
    },
    "handlers": {
        "stderr": {"class": "logging.StreamHandler", "formatter": "line"},
        "audit": {"class": "logging.StreamHandler", "formatter": "bare"},
    },
    "root": {"handlers": ["stderr"], "level": "INFO"},
    "loggers": {
        "django.request": {"level": "ERROR"},
        # Bare JSON, one object a line.
        "sso.audit": {"handlers": ["audit"], "level": "INFO", "propagate": False},
    },
}
