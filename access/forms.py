"""What is typed into the pages about people, checked. Nothing is looked up here."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django import forms
from django.contrib.auth.password_validation import validate_password
from django.utils import timezone

from access.services import LONGEST_NAME, LONGEST_PASSWORD
from kfdash.rights import Right

RIGHTS = [(right.value, right.name.lower()) for right in Right]
DAYS = [(30, "30 days"), (90, "90 days"), (365, "a year"), (0, "never")]
_TOO_LONG = {"max_length": "This is too long: at most %(limit_value)d characters."}


def _text(longest: int, **more: Any) -> forms.CharField:
    return forms.CharField(max_length=longest, error_messages=_TOO_LONG, **more)


class LoginForm(forms.Form):
    """A name and a password."""

    username = _text(LONGEST_NAME)
    password = _text(LONGEST_PASSWORD, strip=False)


class ForgotForm(forms.Form):
    """An address that letters go to."""

    email = forms.EmailField(max_length=254, error_messages={**_TOO_LONG, "invalid": "This is no e-mail address."})


class NewPasswordForm(forms.Form):
    """A password, twice. `user` is whose it will be, `old` whether the one so far must be known."""

    old = _text(LONGEST_PASSWORD, strip=False, required=False)
    new = _text(LONGEST_PASSWORD, strip=False)
    again = _text(LONGEST_PASSWORD, strip=False)

    def __init__(self, user: Any, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.user = user

    def clean(self) -> dict[str, Any]:
        """Both are the same, and not easy to guess."""
        found = self.cleaned_data
        new, again = found.get("new"), found.get("again")
        if new and again and new != again:
            self.add_error("again", "The two are not the same.")
        elif new:
            try:
                validate_password(new, self.user)
            except forms.ValidationError as error:
                self.add_error("new", error)
        return found


class TokenForm(forms.Form):
    """A new token: what it is for, what it may, how long. No more than `most` is offered."""

    name = _text(100)
    right = forms.TypedChoiceField(coerce=lambda value: Right(int(value)))
    days = forms.TypedChoiceField(coerce=int, choices=DAYS)

    def __init__(self, most: Right, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["right"].choices = [(value, word) for value, word in RIGHTS if value <= most]  # type: ignore[attr-defined]

    def expires_at(self) -> datetime | None:
        """When it ends; None for never."""
        days = self.cleaned_data["days"]
        return timezone.now() + timedelta(days=days) if days else None


class PersonForm(forms.Form):
    """Somebody new."""

    name = _text(LONGEST_NAME)
    email = forms.EmailField(max_length=254, required=False, error_messages={**_TOO_LONG, "invalid": "This is no e-mail address."})
    right = forms.TypedChoiceField(coerce=lambda value: Right(int(value)), choices=RIGHTS)
