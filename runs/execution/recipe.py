"""What a step's command asks for: packages to install first, then a program.

The SDK's lightweight components (`sh -c <pip install …; "$0" "$@"> sh -ec <run kfp.dsl.executor_main> <source>`) and older ones
that only install packages first are recognised by their script; nothing of it is run by a shell. All else is run as it is.
"""

from __future__ import annotations

import functools
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass

EXECUTOR_MODULE = "kfp.dsl.executor_main"
# What runs a lightweight component is the platform's to choose: the compiler writes down its own version, which may be one
# that was never released with what the component uses, and older components run unchanged under a newer executor. One version
# for all of them also is one warm environment for all of them.
KFP_RUNTIME = (2, 17, 3)

_ENSURE_PIP = re.compile(r"if ! \[ -x \"\$\(command -v pip\)\" \]; then\s.*?\sfi\s", re.DOTALL)
_MAKE_VENV = re.compile(
    r"export PIP_DISABLE_PIP_VERSION_CHECK=1\s+tmp=\$\(mktemp -d\)\s+python3 -m venv \"\$tmp/venv\" --system-site-packages\s+"
    r"\. \"\$tmp/venv/bin/activate\"\s"
)
_RUN_EXECUTOR = re.compile(
    r"\s*program_path=\$\(mktemp -d\)\s+printf \"%s\" \"\$0\" > \"\$program_path/ephemeral_component\.py\"\s+"
    r"_KFP_RUNTIME=true python3 -m kfp\.(?:dsl|components)\.executor_main\s+--component_module_path\s+"
    r"\"\$program_path/ephemeral_component\.py\"\s+\"\$@\"\s*"
)
_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*=")
# Options of pip that mean nothing to an environment of our own.
_IGNORED = frozenset({"--quiet", "-q", "--no-warn-script-location", "--user", "--disable-pip-version-check", "--no-input"})
_WITH_VALUE = frozenset(
    {"--index-url", "-i", "--extra-index-url", "--trusted-host", "--find-links", "-f", "--constraint", "-c", "--requirement", "-r"}
)
_PLAIN = frozenset({"--no-deps", "--upgrade", "-U", "--pre", "--no-index", "--no-build-isolation", "--require-hashes"})
_OTHER_NAMES = {"--no-cache-dir": "--no-cache", "--force-reinstall": "--reinstall"}  # of uv


@dataclass(frozen=True, slots=True)
class Recipe:
    """An environment and a program, `argv`. With `source` that is the SDK's executor, and a warm process can run it.

    `installs` are the arguments of one `pip install` each, in order; None is the base environment without packages.
    """

    installs: tuple[tuple[str, ...], ...] | None
    argv: tuple[str, ...]
    source: str | None = None
    args: tuple[str, ...] = ()  # of the executor, after the module's path

    @property
    def packages(self) -> str:
        """The packages' names, for people: `kfp, pandas`."""
        names = []
        for install in self.installs or ():
            values = iter(install)
            for word in values:
                if word in _WITH_VALUE:
                    next(values, None)
                elif not word.startswith("-") and not word.startswith("typing-extensions"):
                    names.append(_package_name(word))
        return ", ".join(dict.fromkeys(names))


def _package_name(requirement: str) -> str:
    if "://" in requirement and " @ " not in requirement:
        return requirement.rsplit("/", 1)[-1] or requirement
    return re.split(r"[\s<>=!~;@\[]", requirement, maxsplit=1)[0] or requirement


def recognise(argv: Sequence[str]) -> Recipe:
    """Reads a command, placeholders already replaced."""
    installs: tuple[tuple[str, ...], ...] | None = None
    rest = list(argv)
    if len(rest) > 3 and rest[0] in ("sh", "bash") and rest[1] == "-c":
        found = _read_installs(rest[2])
        if found is not None:
            installs, rest = found, rest[3:]
    if len(rest) >= 4 and rest[0] == "sh" and rest[1] in ("-ec", "-ce") and _RUN_EXECUTOR.fullmatch(rest[2]):
        if not any(_brings_kfp(install) for install in installs or ()):
            installs = (*(installs or ()), ("kfp==2.0.0", "--no-deps"))  # the image would have had one
        installs = tuple(_with_runtime(install) for install in installs or ())
        return Recipe(installs, tuple(rest), rest[3], tuple(rest[4:]))
    return Recipe(installs, tuple(rest))


def _with_runtime(install: tuple[str, ...]) -> tuple[str, ...]:
    """The compiler's own line (`kfp==…` without dependencies), raised to our version where it names an older one of KFP 2."""
    if "--no-deps" not in install:
        return install
    return tuple(_raised(word) for word in install)


def _raised(word: str) -> str:
    pinned = re.fullmatch(r"kfp==(2)\.(\d+)\.(\d+)", word)
    if pinned is None or tuple(map(int, pinned.groups())) >= KFP_RUNTIME:
        return word
    return "kfp==" + ".".join(map(str, KFP_RUNTIME))


def _brings_kfp(install: Sequence[str]) -> bool:
    return any(re.match(r"kfp(?![\w-])|.*/pipelines(\.git)?@|.*[/\\]kfp[-/]", word) for word in install)


@functools.lru_cache(maxsize=1000)
def _read_installs(script: str) -> tuple[tuple[str, ...], ...] | None:
    """The installs of a script that does nothing else before `"$0" "$@"`; None for any other."""
    if "pip install" not in script:
        return None
    text = _MAKE_VENV.sub(" ", _ENSURE_PIP.sub(" ", script, count=1))
    body, _, end = text.rpartition("&&")
    if end.split() != ['"$0"', '"$@"'] or re.search(r"[$`<>;|&]", _outside_quotes(body.replace("&&", "").replace("||", ""))):
        return None
    try:
        lexer = shlex.shlex(body, posix=True, punctuation_chars="()&|;")
        lexer.whitespace_split = True
        return _read_list(list(lexer))
    except ValueError:
        return None


def _outside_quotes(text: str) -> str:
    """A script without what single quotes hold; double quotes are left alone, for `$` means something in them."""
    return re.sub(r"'[^']*'", "", re.sub(r'"[^"$`\\]*"', "", text))


def _read_list(tokens: list[str]) -> tuple[tuple[str, ...], ...] | None:
    """Installs joined by `&&`; `(install || install --user)` is one."""
    installs = []
    for part in _split(tokens, "&&"):
        words = [word for word in part if word not in ("(", ")")]
        install = _read_install(_split(words, "||")[0])
        if install is None:
            return None
        installs.append(install)
    return tuple(installs)


def _split(tokens: Sequence[str], separator: str) -> list[list[str]]:
    parts: list[list[str]] = [[]]
    for token in tokens:
        if token == separator:
            parts.append([])
        else:
            parts[-1].append(token)
    return parts


def _read_install(words: list[str]) -> tuple[str, ...] | None:
    """The arguments of one `[NAME=value …] python3 -m pip install …`; None where an option is not known."""
    while words and _ASSIGNMENT.match(words[0]):
        words = words[1:]
    if words[:4] in (["python3", "-m", "pip", "install"], ["python", "-m", "pip", "install"]):
        words = words[4:]
    elif words[:2] in (["pip", "install"], ["pip3", "install"]):
        words = words[2:]
    else:
        return None
    kept: list[str] = []
    values = iter(words)
    for word in values:
        if word in _IGNORED:
            continue
        if word.startswith("-") and word.split("=", 1)[0] not in _WITH_VALUE | _PLAIN | _OTHER_NAMES.keys():
            return None
        kept.append(_OTHER_NAMES.get(word, word))
        if word in _WITH_VALUE:
            value = next(values, None)
            if value is None:
                return None
            kept.append(value)
    return tuple(kept) if kept else None
