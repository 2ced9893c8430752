"""Between the hubs; no page and no app links here."""

from django.urls import path

from sso.handoff import further, granting

urlpatterns = [
    path("handoff/", granting.grant, name="handoff"),
    path("handoff/finish/", further.finish, name="handoff_finish"),
]
