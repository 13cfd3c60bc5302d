"""Template tags of all pages: state icons and badges, strips, times, sizes. Built into every template (settings)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django import template
from django.http import QueryDict
from django.utils import timezone
from django.utils.html import escape, format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe

from kfdash import moment, strips, words

register = template.Library()
_CODE = re.compile(r"`([^`\n]+)`")
register.filter("duration", words.duration)
register.filter("size", words.size)


def _flags(attention: bool, cached: bool, starting: bool = False) -> SafeString:
    flags = (("attention", attention), ("cached", cached), ("starting", starting))
    return mark_safe("".join(f" data-{name}" for name, on in flags if on))


@register.simple_tag
def state_icon(
    state: str, attention: bool = False, cached: bool = False, size: str = "", quiet: bool = False, starting: bool = False
) -> SafeString:
    """The icon of a state, 16 px (`size="l"`: 20 px). `quiet` where the word stands beside it."""
    label = words.state_word(state, attention=attention, cached=cached, starting=starting)
    return format_html(
        '<svg class="si {}" data-state="{}"{} viewBox="0 0 16 16" {}><use href="#st-{}"/></svg>',
        size,
        state,
        _flags(attention, cached, starting),
        mark_safe('aria-hidden="true"') if quiet else format_html('role="img" aria-label="{}"', label),
        words.state_mark(state, attention=attention, cached=cached, starting=starting),
    )


@register.simple_tag
def state_badge(state: str, attention: bool = False, cached: bool = False, bare: bool = False) -> SafeString:
    """The pill with a state's word; `bare` leaves the icon out, beside a headline that has one."""
    return format_html(
        '<span class="badge{}" data-state="{}"{}>{}<span class="word">{}</span></span>',
        " bare" if bare else "",
        state,
        _flags(attention, cached),
        "" if bare else state_icon(state, attention, cached, quiet=True),
        words.state_word(state, attention=attention, cached=cached),
    )


@register.filter
def state_name(state: str) -> str:
    """The word for a state."""
    return words.state_word(state)


@register.simple_tag
def icon(name: str, size: str = "") -> SafeString:
    """An icon of the sprite, 16 px (`size="i-s"`: 14 px), hidden from screen readers: the words stand beside it."""
    return format_html('<svg class="i {}" viewBox="0 0 16 16" aria-hidden="true"><use href="#i-{}"/></svg>', size, name)


@register.simple_tag
def when(at: datetime | None, absent: str = words.UNKNOWN) -> SafeString | str:
    """A relative time with the absolute one in its title; a script keeps it fresh and says it in the reader's zone."""
    if at is None:
        return absent
    return format_html(
        '<time datetime="{}" title="{}" data-when>{}</time>', at.isoformat(), words.absolute(at), words.ago(at, timezone.now())
    )


@register.simple_tag
def clock(started: datetime | None, finished: datetime | None = None, absent: str = words.UNKNOWN) -> SafeString | str:
    """How long it took, or has taken so far: then a script lets it tick."""
    if started is None:
        return absent
    seconds = ((finished or moment.now()) - started).total_seconds()
    if finished or not moment.ticks(started):
        return format_html("<span>{}</span>", words.duration(seconds))
    return format_html('<span data-since="{}">{}</span>', started.isoformat(), words.duration(seconds))


@register.simple_tag
def strip(laid_out: strips.Strip | Sequence[strips.Mark], width: float = 104, height: float = 13) -> SafeString:
    """The SVG of a strip: laid out already, or marks to lay out."""
    if not isinstance(laid_out, strips.Strip):
        laid_out = strips.lay_out(laid_out, width=width, height=height)
    boxes = format_html_join(
        "",
        '<rect class="mk" data-state="{}"{} data-index="{}" x="{}" y="{}" width="{}" height="{}" rx="1.5">{}</rect>',
        (
            (
                box.mark.state,
                _flags(box.mark.attention, box.mark.cached),
                box.index,
                box.x,
                box.y,
                box.width,
                box.height,
                format_html("<title>{}</title>", box.mark.title) if box.mark.title else "",
            )
            for box in laid_out.boxes
        ),
    )
    return format_html(
        '<svg class="strip" width="{0}" height="{1}" viewBox="0 0 {0} {1}" role="img" aria-label="{2}"><title>{2}</title>{3}</svg>',
        laid_out.width,
        laid_out.height,
        laid_out.label,
        boxes,
    )


@register.filter
def counted(count: int, noun: str) -> str:
    """`{{ 12|counted:"step" }}` is `12 steps`; `"entry,entries"` where the plural is irregular."""
    one, _, many = noun.partition(",")
    return words.counted(count, one, many)


@register.filter
def short(identifier: Any) -> str:
    """The first 8 characters of an id."""
    return str(identifier)[:8]


@register.filter
def query_text(query: QueryDict) -> str:
    """The filter of an address as one text: all its `q=`."""
    return " ".join(part for part in query.getlist("q") if part)


@register.filter
def tag_query(key: str, value: str) -> str:
    """The filter for a tag, as it stands in a query: `tag:team=risk`, in quotation marks where it has a space."""
    word = f"{key}={value}"
    return f'tag:"{word}"' if re.search(r"\s", word) else f"tag:{word}"


@register.filter
def with_code(sentence: str) -> SafeString:
    """A sentence with what stands in backticks as code; everything is escaped first."""
    return mark_safe(_CODE.sub(r"<code>\1</code>", escape(sentence)))
