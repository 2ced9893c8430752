"""What Django's documentation leads to: ``startproject``'s middleware, sessions in Redis by django-redis.

``/`` reads ``request.user`` (session from Redis, user from SQLite), ``/session`` only the session.
"""

import os
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model, login
from django.core.handlers.wsgi import WSGIHandler
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import path

settings.configure(
    DEBUG=False,
    SECRET_KEY="a-secret-key-of-the-bench-that-nobody-else-ever-sees",
    ALLOWED_HOSTS=["127.0.0.1"],
    ROOT_URLCONF=__name__,
    INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "django.contrib.sessions"],
    MIDDLEWARE=[
        "django.middleware.security.SecurityMiddleware",
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.middleware.common.CommonMiddleware",
        "django.middleware.csrf.CsrfViewMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
        "django.contrib.messages.middleware.MessageMiddleware",
        "django.middleware.clickjacking.XFrameOptionsMiddleware",
    ],
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": os.environ["BENCH_DATABASE"],
            "CONN_MAX_AGE": None,
        }
    },
    CACHES={
        "default": {"BACKEND": "django_redis.cache.RedisCache", "LOCATION": os.environ["REDIS_URL"] + "/1"}
    },
    SESSION_ENGINE="django.contrib.sessions.backends.cache",
)


def told(user: dict[str, Any] | None) -> HttpResponse:
    status = 401 if user is None else 200
    content = {"error": "not_signed_in"} if user is None else {"user": user}
    return JsonResponse(content, status=status, headers={"Cache-Control": "no-store"})


def sign_in(request: HttpRequest, n: int) -> HttpResponse:
    names = {"email": f"user{n}@example.com", "first_name": f"First{n}", "last_name": f"Last{n}"}
    user, _ = get_user_model().objects.get_or_create(username=f"user{n}", defaults=names)
    login(request, user)
    request.session["user"] = {"username": f"user{n}", "email": names["email"], "name": f"First{n} Last{n}"}
    return told(request.session["user"])


def by_user(request: HttpRequest) -> HttpResponse:
    user = request.user
    if not user.is_authenticated:
        return told(None)
    return told({"username": user.username, "email": user.email, "name": user.get_full_name()})


def by_session(request: HttpRequest) -> HttpResponse:
    return told(request.session.get("user"))


urlpatterns = [path("", by_user), path("session", by_session), path("sign-in/<int:n>", sign_in)]


def make() -> WSGIHandler:
    import django
    from django.core.management import call_command

    django.setup()
    call_command("migrate", verbosity=0)
    return WSGIHandler()


application = make()
