"""The machine endpoints, at the root of the hub; no address ends with a slash."""

from django.urls import path, re_path

from sso.api import views
from sso.api.views import Endpoint
from sso.doctor import views as doctor

urlpatterns = [
    path("api/session", Endpoint(elsewhere=("GET", "HEAD"), POST=views.sign_in, DELETE=views.sign_out)),
    path("api/csrf", Endpoint(GET=views.csrf_token)),
    path("api/sessions", Endpoint(GET=views.my_sign_ins)),
    re_path(r"^api/sessions/(?P<sid>[A-Za-z0-9_-]{1,64})$", Endpoint(DELETE=views.end_sign_in)),
    path("api/doctor/seen", Endpoint(GET=doctor.seen)),
    path("api/doctor/judge", doctor.Open(POST=doctor.judge)),
    path("api/openapi.json", Endpoint(GET=views.openapi)),
    path("healthz", Endpoint(GET=views.alive)),
    path("readyz", Endpoint(GET=views.ready)),
    re_path(r"^api/", views.unknown),
]
