"""Django's settings. Every value that an installation may change is an environment variable `KFDASH_…` (README, Settings)."""

from __future__ import annotations

import hashlib
import hmac
import os
import pathlib
import secrets
import socket
import tempfile
from urllib.parse import parse_qsl, unquote, urlsplit

from django.core.exceptions import ImproperlyConfigured

from kfdash import __version__

PACKAGE = pathlib.Path(__file__).resolve().parent
SHIPPED = PACKAGE if (PACKAGE / "templates").is_dir() else PACKAGE.parent  # a wheel carries templates and static inside


def _flag(name: str, default: bool = False) -> bool:
    return os.environ.get(name, "1" if default else "").lower() in ("1", "true", "yes", "on")


def _number(name: str, default: int) -> int:
    text = os.environ.get(name, "")
    try:
        return int(text) if text else default
    except ValueError:
        raise ImproperlyConfigured(f"{name} is {text!r}; it must be a whole number, such as {default}.") from None


def _retention() -> str | tuple[int, int]:
    """When the rules of retention are carried out: `hourly`, `off`, or hour and minute of each day, in UTC."""
    text = os.environ.get("KFDASH_RETENTION", "").strip().lower() or "hourly"
    if text in ("hourly", "off"):
        return text
    hour, colon, minute = text.partition(":")
    if not (colon and hour.isdecimal() and minute.isdecimal() and int(hour) < 24 and int(minute) < 60):
        raise ImproperlyConfigured(f"KFDASH_RETENTION is {text!r}; it must be hourly, off, or a time of the day such as 03:00.")
    return int(hour), int(minute)


def _runtime_dir() -> pathlib.Path:
    """The folder of the sockets: a short path (they may have about 100 bytes), ours alone, the same for each data folder."""
    if named := os.environ.get("KFDASH_RUNTIME_DIR"):
        return pathlib.Path(named)
    name = f"kfdash-{os.getuid()}-{hashlib.sha256(os.fsencode(DATA_DIR)).hexdigest()[:10]}"
    inside = pathlib.Path(tempfile.gettempdir()) / name
    return inside if len(os.fsencode(inside)) <= 80 else pathlib.Path("/tmp") / name


def _results_root(pipeline_root: str) -> str:
    """Beside the artifacts: in kfdash's own store, or in the bucket that they go to."""
    base = pipeline_root.partition("?")[0].rstrip("/")
    return "minio://kfdash/.results" if base.startswith("minio://kfdash/") else f"{base}/.results"


# --- where things are ---

DATA_DIR = pathlib.Path(os.environ.get("KFDASH_DATA_DIR", "data")).resolve()
RUNTIME_DIR = _runtime_dir()
ARTIFACTS_DIR = pathlib.Path(os.environ.get("KFDASH_ARTIFACTS_DIR", DATA_DIR / "artifacts"))
LOGS_DIR = pathlib.Path(os.environ.get("KFDASH_LOGS_DIR", DATA_DIR / "logs"))
HOST_DIR = DATA_DIR / "host"  # the local executor's own: attempts, environments, workspaces
PIPELINE_ROOT = os.environ.get("KFDASH_PIPELINE_ROOT") or "minio://kfdash/v2/artifacts"

EXECUTOR = os.environ.get("KFDASH_EXECUTOR", "local")
REDIS_URL = os.environ.get("KFDASH_REDIS_URL", f"unix://{RUNTIME_DIR}/redis.sock")
OBSERVER_NAME = os.environ.get("KFDASH_OBSERVER_NAME", "")  # of this observer and those that come after it in its place

# --- steps as pods (KFDASH_EXECUTOR=kubernetes) ---

KUBECONFIG = os.environ.get("KFDASH_KUBECONFIG") or os.environ.get("KUBECONFIG", "")  # empty: ~/.kube/config, or the pod's own
KUBE_CONTEXT = os.environ.get("KFDASH_KUBE_CONTEXT", "")  # empty: the kubeconfig's current one
POD_NAMESPACE = os.environ.get("KFDASH_POD_NAMESPACE", "")  # empty: the context's
IMAGE = os.environ.get("KFDASH_IMAGE") or f"kfdash:{__version__}"  # of the launcher beside each step
LAUNCHER_URL = os.environ.get("KFDASH_LAUNCHER_URL", "")  # `kfdash up` finds it where it is not set
PODS_CALL = LAUNCHER_URL != "none"  # else they and kfdash meet in the bucket of PIPELINE_ROOT
LAUNCHER_BIND = os.environ.get("KFDASH_LAUNCHER_BIND") or ("0.0.0.0:8001" if PODS_CALL else "127.0.0.1:0")
INTAKE_URL = os.environ.get("KFDASH_INTAKE_URL", "")  # where our own parts reach the intake for pods that do not call
POD_TEMPLATE = os.environ.get("KFDASH_POD_TEMPLATE", "")  # a YAML file
RUN_POD_TEMPLATES = _flag("KFDASH_RUN_POD_TEMPLATES", True)  # runs may bring a template of their own
POD_TTL = _number("KFDASH_POD_TTL", 3600)  # seconds that pods of steps that succeeded are kept
FAILED_POD_TTL = _number("KFDASH_FAILED_POD_TTL", 86400)
START_TIMEOUT = _number("KFDASH_START_TIMEOUT", 3600)  # seconds that a pod may wait to be started
KFP_OVERLAY = _flag("KFDASH_KFP_OVERLAY", True)  # lay kfp's packages beside steps, so that they install none
RESULTS_ROOT = _results_root(PIPELINE_ROOT)  # where the documents lie that say how attempts ended
MAIL_ROOT = f"{PIPELINE_ROOT.partition('?')[0].rstrip('/')}/.mail"  # where pods meet kfdash that cannot call it

# --- limits ---

UPLOAD_LIMIT = 32 * 1024 * 1024  # bytes of a package, and of what an archive holds
MOST_ITERATIONS = _number("KFDASH_MOST_ITERATIONS", 10_000)
STOP_GRACE = _number("KFDASH_STOP_GRACE", 30)  # seconds between SIGTERM and SIGKILL

RETENTION = _retention()

# --- packages by URL ---

URL_DOMAINS = [
    "storage.googleapis.com",
    "s3.amazonaws.com",
    "github.com",
    "raw.githubusercontent.com",
    *(host.strip().lower() for host in os.environ.get("KFDASH_URL_DOMAINS", "").split(",") if host.strip()),
]
URL_ALLOW_HTTP = _flag("KFDASH_URL_ALLOW_HTTP")
URL_CHECKS = _flag("KFDASH_URL_CHECKS", True)  # off: any host, port and address, private ones too
STEP_LOG_MIB = int(_number("KFDASH_STEP_LOG_MIB", 200))  # of one step's log
STEP_OUTPUT_MIB = int(_number("KFDASH_STEP_OUTPUT_MIB", 20 * 1024))  # that one step may write
STEP_PROCESSES = int(_number("KFDASH_STEP_PROCESSES", 4096))  # that one step may have
URL_TIMEOUT = _number("KFDASH_URL_TIMEOUT", 30)  # seconds for one package

# --- Django ---


def _secret_key() -> str:
    """From the environment, else made once and kept in the data folder, readable by its owner alone."""
    if key := os.environ.get("KFDASH_SECRET_KEY"):
        return key
    kept = DATA_DIR / "secret-key"
    try:
        return kept.read_text()
    except OSError:
        key = secrets.token_urlsafe(48)
    try:
        kept.parent.mkdir(parents=True, exist_ok=True)
        with os.fdopen(os.open(kept, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(key)
    except FileExistsError:
        return kept.read_text()
    except OSError:
        pass  # a folder that cannot be written is reported by `kfdash up` and `doctor`, in words
    return key


SECRET_KEY = _secret_key()
LAUNCHER_KEY = hmac.digest(SECRET_KEY.encode(), b"kfdash.launcher", "sha256")  # signs the tokens of attempts
INSTALLATION = hmac.digest(LAUNCHER_KEY, b"installation", "sha256").hex()[:12]  # tells our pods from those of others
DEBUG = _flag("KFDASH_DEBUG")
PUBLIC_URL = os.environ.get("KFDASH_PUBLIC_URL", "").rstrip("/")  # where people's browsers find it; https:// makes cookies secure
_LOOPBACK = f"localhost,127.0.0.1,[::1],{os.environ.get('KFDASH_HOST', '')},{urlsplit(PUBLIC_URL).hostname or ''}"
ALLOWED_HOSTS = [host.strip() for host in os.environ.get("KFDASH_ALLOWED_HOSTS", _LOOPBACK).split(",") if host.strip()]
INSTALLED_APPS = [
    "django.contrib.contenttypes",
    "django.contrib.auth",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.admin",
    "django_htmx",
    "rest_framework",
    "drf_spectacular",
    "channels",
    "access",
    "pipelines",
    "runs",
]
MIDDLEWARE = [
    "kfdash.answered.AnsweredMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "kfdash.access.SameSiteMiddleware",
    "kfdash.access.ContentPolicyMiddleware",
    "kfdash.system.unavailable.OutageMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "access.identity.IdentityMiddleware",
    "kfdash.rights.RightsMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
]
ROOT_URLCONF = "kfdash.urls"
ASGI_APPLICATION = "kfdash.asgi.application"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [SHIPPED / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "builtins": ["kfdash.tags"],
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "kfdash.rights.page_context",
                "kfdash.home.page_context",
            ],
        },
    }
]


_UNANSWERED = {  # after how long a PostgreSQL whose machine is gone without a word counts as away, in seconds
    "connect_timeout": 5,
    "keepalives_idle": 5,
    "keepalives_interval": 3,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,  # milliseconds
}
# The other way round: what a vanished client had locked is free again within half a minute; by itself a server waits for hours.
_LETS_GO = "-c tcp_keepalives_idle=5 -c tcp_keepalives_interval=3 -c tcp_keepalives_count=3 -c tcp_user_timeout=30000"
# Compiling a query takes longer than any of ours does; what is asked for often is in memory; found rows are noted one by one.
_QUICK = "-c jit=off -c random_page_cost=1.1 -c work_mem=16MB"


def _database(url: str) -> dict[str, object]:
    """SQLite in the data folder, or the PostgreSQL server of KFDASH_DATABASE_URL (`postgresql://user:password@host/name`).

    What stands behind a question mark there are parameters of libpq, such as `sslmode=verify-full` or `connect_timeout=10`.
    """
    if not url:
        return {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": DATA_DIR / "kfdash.sqlite3",
            "OPTIONS": {
                "transaction_mode": "IMMEDIATE",
                "timeout": 20,
                "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA cache_size=-16000;",
            },
        }
    parts = urlsplit(url)
    if parts.scheme not in ("postgresql", "postgres") or not parts.path.strip("/"):
        raise ImproperlyConfigured("KFDASH_DATABASE_URL must look like postgresql://user:password@host:5432/name.")
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": parts.path.strip("/"),
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        "HOST": parts.hostname or "",
        "PORT": parts.port or "",
        "OPTIONS": {**_UNANSWERED, "options": f"{_LETS_GO} {_QUICK}", **dict(parse_qsl(parts.query))},
        "CONN_MAX_AGE": 600,
        "CONN_HEALTH_CHECKS": True,
    }


DATABASES = {"default": _database(os.environ.get("KFDASH_DATABASE_URL", ""))}
DATABASES["default"]["CONN_MAX_AGE"] = 600

# A Redis whose machine is gone without a word is noticed after as long as such a PostgreSQL; sockets of files need none of it.
REDIS_KEEPALIVE: dict[str, object] = {
    "socket_keepalive": True,
    "socket_keepalive_options": {
        getattr(socket, name): seconds
        for name, seconds in (("TCP_KEEPIDLE", 5), ("TCP_KEEPINTVL", 3), ("TCP_KEEPCNT", 3), ("TCP_USER_TIMEOUT", 10_000))
        if hasattr(socket, name)
    },
}
CHANNEL_LAYERS = {
    "default": {
        "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
        "CONFIG": {
            "hosts": [REDIS_URL if REDIS_URL.startswith("unix") else {"address": REDIS_URL, **REDIS_KEEPALIVE}],
            "prefix": "kfdash",
        },
    }
}

STATIC_URL = "static/"
STATICFILES_DIRS = [SHIPPED / "static"]
WHITENOISE_USE_FINDERS = True

USE_TZ = True
TIME_ZONE = "UTC"
LANGUAGE_CODE = "en"
DATA_UPLOAD_MAX_MEMORY_SIZE = UPLOAD_LIMIT + 1024 * 1024
FILE_UPLOAD_MAX_MEMORY_SIZE = DATA_UPLOAD_MAX_MEMORY_SIZE  # no file is left behind by a server that is killed
X_FRAME_OPTIONS = "DENY"  # but for artifacts, which stand in our own frames
APPEND_SLASH = True

# --- who is let in (docs/access.md) ---

AUTH = os.environ.get("KFDASH_AUTH", "").strip().lower()  # accounts, oidc, proxy; empty: nobody logs in, on loopback alone
GROUP_RIGHTS = os.environ.get("KFDASH_GROUP_RIGHTS", "")  # ml-admins=administer, data=run, *=view
PROXY_USER_HEADER = os.environ.get("KFDASH_PROXY_USER_HEADER", "")
PROXY_GROUPS_HEADER = os.environ.get("KFDASH_PROXY_GROUPS_HEADER", "")
PROXY_ADDRESSES = os.environ.get("KFDASH_PROXY_ADDRESSES", "")  # from where these headers, and X-Forwarded-For, are believed
OIDC_ISSUER = os.environ.get("KFDASH_OIDC_ISSUER", "").rstrip("/")
OIDC_CLIENT_ID = os.environ.get("KFDASH_OIDC_CLIENT_ID", "")
OIDC_CLIENT_SECRET = os.environ.get("KFDASH_OIDC_CLIENT_SECRET", "")
OIDC_SCOPES = os.environ.get("KFDASH_OIDC_SCOPES") or "openid profile email"
OIDC_NAME_CLAIM = os.environ.get("KFDASH_OIDC_NAME_CLAIM") or "preferred_username"
OIDC_GROUPS_CLAIM = os.environ.get("KFDASH_OIDC_GROUPS_CLAIM") or "groups"
OIDC_TITLE = os.environ.get("KFDASH_OIDC_TITLE") or urlsplit(OIDC_ISSUER).hostname or ""  # on the button
SERVICE_ACCOUNTS = os.environ.get("KFDASH_SERVICE_ACCOUNTS", "")  # team-a/default=run, team-b/*=view
TOKEN_AUDIENCE = os.environ.get("KFDASH_TOKEN_AUDIENCE") or "pipelines.kubeflow.org"  # of service accounts' tokens
SESSION_ENGINE = "access.sessions"
SESSION_COOKIE_NAME = "kfdash_session"
SESSION_COOKIE_AGE = _number("KFDASH_SESSION_HOURS", 24 * 14) * 3600
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
CSRF_COOKIE_SAMESITE = "Lax"
CSRF_FAILURE_VIEW = "access.views.entering.csrf_failure"
LOGIN_URL, LOGIN_REDIRECT_URL, LOGOUT_REDIRECT_URL = "login", "home", "login"
PASSWORD_RESET_TIMEOUT = 24 * 3600  # seconds that a link to set a password is good for
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}", "OPTIONS": options}
    for name, options in (
        ("UserAttributeSimilarityValidator", {}),
        ("MinimumLengthValidator", {"min_length": 10}),
        ("CommonPasswordValidator", {}),
        ("NumericPasswordValidator", {}),
    )
]

if PUBLIC_URL.startswith("https://"):  # TLS ends at a proxy that sends X-Forwarded-Proto
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    SECURE_SSL_REDIRECT = True
    SECURE_SSL_HOST = urlsplit(PUBLIC_URL).netloc
    SECURE_REDIRECT_EXEMPT = ["^apis/."]  # clients in the cluster come without TLS
    SECURE_HSTS_SECONDS = _number("KFDASH_HSTS_SECONDS", 365 * 24 * 3600)
    SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = True
CSRF_TRUSTED_ORIGINS = [f"{urlsplit(PUBLIC_URL).scheme}://{urlsplit(PUBLIC_URL).netloc}"] if PUBLIC_URL else []
SILENCED_SYSTEM_CHECKS = ["security.W005", "security.W021"]  # HSTS for other names, and lists in browsers: their owner's matter


def _mail(url: str) -> dict[str, object]:
    """How letters are sent, from KFDASH_EMAIL_URL: smtp://user:password@host:587 (STARTTLS), smtps://…, or smtp+plain://…"""
    parts = urlsplit(url)
    if parts.scheme not in ("smtp", "smtps", "smtp+plain") or not parts.hostname:
        raise ImproperlyConfigured("KFDASH_EMAIL_URL must look like smtp://user:password@mail.example.org:587.")
    return {
        "EMAIL_HOST": parts.hostname,
        "EMAIL_PORT": parts.port or {"smtp": 587, "smtps": 465, "smtp+plain": 25}[parts.scheme],
        "EMAIL_HOST_USER": unquote(parts.username or ""),
        "EMAIL_HOST_PASSWORD": unquote(parts.password or ""),
        "EMAIL_USE_TLS": parts.scheme == "smtp",
        "EMAIL_USE_SSL": parts.scheme == "smtps",
        "EMAIL_TIMEOUT": 10,
    }


EMAIL_URL = os.environ.get("KFDASH_EMAIL_URL", "")
if EMAIL_URL:
    globals().update(_mail(EMAIL_URL))
DEFAULT_FROM_EMAIL = SERVER_EMAIL = os.environ.get("KFDASH_EMAIL_FROM") or "kfdash@localhost"

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [],
    "DEFAULT_PERMISSION_CLASSES": [],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.JSONParser"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "UNAUTHENTICATED_USER": None,
}
SPECTACULAR_SETTINGS = {
    "TITLE": "kfdash",
    "VERSION": "v1",
    "SERVE_INCLUDE_SCHEMA": False,
    "COMPONENT_NO_READ_ONLY_REQUIRED": True,  # what is unset is left out of every answer
}

CELERY_BROKER_URL = REDIS_URL.replace("unix://", "redis+socket://", 1)

# --- seen from outside ---

METRICS_BIND = os.environ.get("KFDASH_METRICS_BIND", "")  # address:port of /metrics, /healthz and /readyz; empty: no listener
EMBEDDED = _flag("KFDASH_EMBEDDED")  # set by `kfdash up` for its parts

LOG_LEVEL = os.environ.get("KFDASH_LOG_LEVEL", "WARNING").upper()
LOG_FORMAT = os.environ.get("KFDASH_LOG_FORMAT", "line").lower()
if LOG_FORMAT not in ("line", "json"):
    raise ImproperlyConfigured(f"KFDASH_LOG_FORMAT is {LOG_FORMAT!r}; it may be: line, json.")
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "line": {
            "()": "kfdash.console.OneLine",
            "format": "%(asctime)s %(levelname)-7s %(processName)s %(name)s: %(message)s",
            "datefmt": "%H:%M:%S",
        },
        "json": {"()": "kfdash.console.Json"},
    },
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": LOG_FORMAT}},
    "loggers": {"kfdash.requests": {"level": "INFO" if LOG_FORMAT == "json" else LOG_LEVEL}},
    "root": {"handlers": ["console"], "level": LOG_LEVEL},
}
