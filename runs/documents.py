"""Documents as YAML that people read and write."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

Json = Any


def as_yaml(document: Mapping[str, Json]) -> str:
    """A document as people write them: keys in their order, long texts on several lines."""
    return yaml.dump(dict(document), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110)


class _Dumper(yaml.SafeDumper):
    """Texts of several lines as blocks, and no anchors where the same thing stands twice."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: yaml.SafeDumper, data: str) -> yaml.Node:
    return dumper.represent_scalar("tag:yaml.org,2002:str", data, style="|" if "\n" in data else None)


_Dumper.add_representer(str, _text)
