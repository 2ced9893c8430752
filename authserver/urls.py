from django.contrib import admin
from django.urls import include, path

urlpatterns = [
    path("admin/", admin.site.urls),
    path("", include("accounts.mail_urls")),
    path("", include("accounts.urls")),
    path("", include("sso.handoff.urls")),
    path("", include("sso.oidc.urls")),
    path("", include("sso.api.urls")),
]

handler400 = "sso.error_responses.bad_request"
handler403 = "sso.error_responses.permission_denied"
handler404 = "sso.error_responses.not_found"
handler500 = "sso.error_responses.server_error"
