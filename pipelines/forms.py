"""What a browser sends about pipelines: an upload."""

from __future__ import annotations

import uuid
from typing import Any

from django import forms
from django.conf import settings
from django.core.files.uploadedfile import UploadedFile

from kfdash.words import size
from pipelines.models import Pipeline


class UploadForm(forms.Form):
    """A package, and the pipeline it is a new version of, if any."""

    file = forms.FileField(
        error_messages={"required": "No file was sent. Choose a compiled pipeline: YAML, JSON, .tar.gz or .zip."}
    )
    pipeline = forms.UUIDField(required=False)

    def clean_file(self) -> UploadedFile:
        """The file, unless it is too large."""
        file: UploadedFile = self.cleaned_data["file"]
        if file.size is not None and file.size > settings.UPLOAD_LIMIT:
            limit = settings.UPLOAD_LIMIT // 1024**2
            raise forms.ValidationError(f"{file.name} has {size(file.size)}; a package may have {limit} MiB at most.")
        return file

    def clean_pipeline(self) -> Pipeline | None:
        """The pipeline with the id that was sent."""
        key: uuid.UUID | None = self.cleaned_data["pipeline"]
        if key is None:
            return None
        found = Pipeline.objects.filter(pk=key).first()
        if found is None:
            raise forms.ValidationError("That pipeline does not exist any more. Upload the file as a new pipeline.")
        return found

    @property
    def sentences(self) -> list[str]:
        """Everything that is wrong, in order."""
        errors: dict[str, Any] = self.errors
        return [sentence for messages in errors.values() for sentence in messages]
