"""Where OpenID Connect is spoken; only the primary hub answers these (``sso.handoff.hubs``)."""

from django.urls import path

from sso.oidc import views

urlpatterns = [
    path(".well-known/openid-configuration", views.configuration),
    path(".well-known/jwks.json", views.jwks),
    path("oauth/authorize", views.authorize),
    path("oauth/token", views.token),
    path("oauth/userinfo", views.user_info),
    path("oauth/revoke", views.revoke),
    path("oauth/logout", views.logout),
    path("oauth/logout/confirm", views.logout_confirmed, name="oidc_logout"),
]
