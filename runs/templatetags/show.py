"""How values of outputs are written on pages."""

from __future__ import annotations

import json
from typing import Any

from django import template

register = template.Library()


@register.filter
def metric(value: Any) -> str:
    """A metric's value: numbers with four significant decimals at most, other values as JSON."""
    if isinstance(value, bool) or value is None or isinstance(value, dict | list):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.4f}".rstrip("0").rstrip(".") if 1e-3 <= abs(value) < 1e9 else f"{value:.4g}"
    return str(value)


@register.filter
def percent(share: float) -> str:
    """A share of 0 to 1 as a percentage."""
    return f"{share * 100:.1f}%"


@register.filter
def short_type(title: str) -> str:
    """An artifact's type without its namespace: `Dataset` for `system.Dataset`."""
    return title.rpartition(".")[2] or title


_ICONS = {"Dataset": "data", "Model": "model", "Markdown": "doc", "HTML": "doc"}


@register.filter
def type_icon(title: str) -> str:
    """The icon of an artifact's type."""
    name = short_type(title)
    return "metric" if name.endswith("Metrics") else _ICONS.get(name, "art")


@register.filter
def as_value(value: Any) -> str:
    """A value that is compared: text as it is, others as JSON; a dash for none."""
    if value is None:
        return "–"
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 300 else text[:299] + "…"
