"""Addresses of the pages about people."""

from __future__ import annotations

from django.urls import URLPattern, path

from access.views import account, entering, people, provider

urlpatterns: list[URLPattern] = [
    path("login/", entering.login, name="login"),
    path("logout/", entering.logout, name="logout"),
    path("login/oidc/", provider.begin, name="oidc-begin"),
    path("login/oidc/back/", provider.back, name="oidc-back"),
    path("password/forgot/", entering.forgot, name="password-forgot"),
    path("password/<str:key>/<str:token>/", entering.password_set, name="password-set"),
    path("account/", account.account, name="account"),
    path("account/password/", account.change_password, name="account-password"),
    path("account/tokens/", account.make_token, name="account-tokens"),
    path("account/tokens/<int:token_id>/revoke/", account.revoke_token, name="account-revoke"),
    path("account/leave/", account.leave_everywhere, name="account-leave"),
    path("system/access/", people.access, name="access"),
    path("system/access/people/", people.add_person, name="access-add"),
    path("system/access/people/<int:user_id>/", people.change_person, name="access-person"),
    path("system/access/tokens/<int:token_id>/revoke/", people.revoke_token, name="access-revoke"),
]
