"""Registration, links that mails hold, and leaving."""

from django.urls import path

from accounts import registration_pages as pages

urlpatterns = [
    path("signup/", pages.ask, name="account_signup"),
    path("signup/sent/", pages.asked, name="registration_sent"),
    path("signup/finish/", pages.finish, name="registration_finish"),
    path("password/reset/link/", pages.reset_link, name="account_reset_password_link"),
    path("email/confirm/", pages.confirm_link, name="account_confirm_email_link"),
    path("email/undo/", pages.undo_email, name="account_email_undo"),
    path("account/delete/", pages.delete, name="account_delete"),
]
