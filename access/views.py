"""Logging in and out."""

from __future__ import annotations

from django.contrib.auth.views import LoginView, LogoutView

from kfdash.rights import public

login = public(LoginView.as_view(template_name="access/login.html", redirect_authenticated_user=False))
logout = public(LogoutView.as_view(next_page="/login/"))
