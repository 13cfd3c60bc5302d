"""A pipeline with what its run computes."""

from __future__ import annotations

import pathlib
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import yaml
from kfp import compiler

from tests.conformance.expected.model import Expected


@dataclass(frozen=True)
class Feature:
    """`pipeline` is one of the SDK's, or a document by hand. `change` edits what the SDK compiled where it cannot write what is to
    be tested; `platform` goes with it.
    """

    pipeline: Any
    expected: Expected
    change: Callable[[dict[str, Any]], None] | None = None
    platform: dict[str, Any] | None = None

    def compile_to(self, package: pathlib.Path) -> None:
        """Writes the package."""
        package.parent.mkdir(parents=True, exist_ok=True)
        documents = [self.pipeline] if isinstance(self.pipeline, dict) else self._compiled()
        if self.change is not None:
            self.change(documents[0])
        if self.platform is not None:
            documents = [documents[0], {"platforms": {"kubernetes": self.platform}}]
        package.write_text(yaml.safe_dump_all(documents, allow_unicode=True, sort_keys=False))

    def _compiled(self) -> list[dict[str, Any]]:
        with tempfile.TemporaryDirectory() as folder:
            compiled = pathlib.Path(folder) / "pipeline.yaml"
            compiler.Compiler().compile(self.pipeline, str(compiled))
            return [one for one in yaml.safe_load_all(compiled.read_text()) if one]
