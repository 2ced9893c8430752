"""Django: views of both kinds in one project; ``app`` for WSGI servers and ``asgi`` for ASGI servers."""

import os
from typing import Any

from django.conf import settings

settings.configure(
    SECRET_KEY="not a secret: this app runs for one test" * 2,
    ALLOWED_HOSTS=["*"],
    ROOT_URLCONF=__name__,
    INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes"],
    MIDDLEWARE=[
        "sso_client.django.SSOMiddleware",
        f"{__name__}.curious",
    ],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": os.environ["DJANGO_DB"]}},
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    SSO_CLIENT={
        "HUB": "https://auth.example.com",
        "REDIS_URL": os.environ["SSO_REDIS_URL"],
        "APP_ORIGIN": os.environ.get("APP_ORIGIN"),
        "LOCAL_USER": True,
    },
)

import django  # noqa: E402

django.setup()

from django.contrib.auth.models import User  # noqa: E402
from django.core.asgi import get_asgi_application  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.core.wsgi import get_wsgi_application  # noqa: E402
from django.http import HttpRequest, HttpResponse, JsonResponse  # noqa: E402
from django.urls import path  # noqa: E402
from django.views.decorators.csrf import csrf_exempt  # noqa: E402
from sso_client.django import SSORequest, signed_in_required  # noqa: E402


def curious(get_response: Any) -> Any:
    """A middleware further in that looks at who is there, and is not prepared for an outage."""

    def middleware(request: SSORequest) -> Any:
        if request.path == "/curious":
            request.META["somebody"] = request.sso is not None
        return get_response(request)

    return middleware


def public(request: HttpRequest) -> HttpResponse:
    return HttpResponse("for everybody")


def maybe(request: SSORequest) -> HttpResponse:
    return HttpResponse(request.sso.user.name if request.sso is not None else "nobody")


async def amaybe(request: SSORequest) -> HttpResponse:
    session = await request.asso()
    return HttpResponse(session.user.name if session is not None else "nobody")


@csrf_exempt
@signed_in_required
def private(request: SSORequest) -> HttpResponse:
    assert request.sso is not None
    return HttpResponse(request.sso.user.name)


@csrf_exempt
@signed_in_required
async def aprivate(request: SSORequest) -> HttpResponse:
    session = await request.asso()
    assert session is not None
    return HttpResponse(session.user.name)


@signed_in_required(groups=["editors", "chiefs"])
def editors(request: SSORequest) -> HttpResponse:
    return private(request)


@signed_in_required(groups=["editors", "chiefs"])
async def aeditors(request: SSORequest) -> HttpResponse:
    return await aprivate(request)


def local(request: HttpRequest) -> HttpResponse:
    user = request.user
    if not user.is_authenticated:
        return JsonResponse({"user": None})
    return JsonResponse(
        {"pk": user.pk, "user": user.get_username(), "email": user.email, "name": user.get_full_name()}
    )


async def alocal(request: HttpRequest) -> HttpResponse:
    user = await request.auser()
    return JsonResponse({"user": user.get_username() or None})


def bench(request: HttpRequest) -> HttpResponse:
    """Switch off the local user who is asking, in this app alone."""
    return HttpResponse(
        str(User.objects.filter(username=request.user.get_username()).update(is_active=False))
    )


urlpatterns = [
    path("public", public),
    path("curious", public),
    path("maybe", maybe),
    path("private", private),
    path("editors", editors),
    path("async/public", public),
    path("async/maybe", amaybe),
    path("async/private", aprivate),
    path("async/editors", aeditors),
    path("local", local),
    path("async/local", alocal),
    path("bench", bench),
]
call_command("migrate", verbosity=0)
app = get_wsgi_application()
asgi = get_asgi_application()
