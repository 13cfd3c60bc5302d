"""Text with its syntax marked by classes (`tok-…`), for pages that allow no inline styles."""

from __future__ import annotations

from django.utils.html import escape
from django.utils.safestring import SafeString, mark_safe
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import BashLexer, JsonLexer, PythonLexer, YamlLexer

_LEXERS = {"python": PythonLexer, "yaml": YamlLexer, "json": JsonLexer, "shell": BashLexer}
_MOST = 200_000  # characters that are marked; longer text is shown plain

_FORMATTER = HtmlFormatter(nowrap=True, classprefix="tok-")


def marked(text: str, language: str) -> SafeString:
    """The text as HTML, escaped, with spans around tokens."""
    if len(text) > _MOST:
        return escape(text)
    return mark_safe(highlight(text, _LEXERS[language](stripnl=False), _FORMATTER))  # Pygments escapes what it marks
