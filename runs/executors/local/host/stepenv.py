"""A step's environment variables: made from nothing, so that the server's settings and secrets are not the step's."""

from __future__ import annotations

import contextlib
import os
import pathlib
import re
import shutil
import uuid
from collections.abc import Iterable, Mapping

from runs.execution.attempt import AttemptOrder
from runs.executors.local.host.records import Record

MARK = "KFP_POD_NAME"  # also tells a step's processes from others
_STANDARD_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# The way to the network, and what native libraries need; nothing of these is a secret of the server.
_PASSED = (
    *("http_proxy", "https_proxy", "no_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY"),
    *("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "AWS_CA_BUNDLE", "PIP_CERT"),
    *("TZ", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "CUDA_VISIBLE_DEVICES"),
)
_SERVER_S = re.compile(r"KFDASH_|DJANGO_|CELERY_|PYTHON|VIRTUAL_ENV|LC_|LANG")
_AT_START = re.compile(r"PYTHON(?!PATH$|UNBUFFERED$)|LC_|LANG$|LANGUAGE$|LD_|DYLD_|MALLOC_|GLIBC_|_KFP_RUNTIME$")
_REFERENCE = re.compile(r"\$\$|\$\(([A-Za-z_][\w.-]*)\)")


def without_server(environment: Mapping[str, str]) -> dict[str, str]:
    """The host's own environment for programs of its own (uv, fork servers): they begin as a step would."""
    return {name: value for name, value in environment.items() if not _SERVER_S.match(name)} | {"LANG": "C.UTF-8"}


def folders(record: Record) -> dict[str, str]:
    """The step's folders by purpose."""
    work = str(record.work)
    return {name: f"{work}/{name}" for name in ("home", "tmp", "site", "outputs")}


def shell_folder(record: Record) -> pathlib.Path:
    """The folder beside all attempts in which `sh` is bash."""
    return record.folder.parent.parent / "shell"


def make_shell_folder(folder: pathlib.Path) -> None:
    """Has `sh` mean bash where there is one: the shells of many images know `[[`, Debian's plain one does not. Raises OSError."""
    bash = shutil.which("bash")
    link = folder / "shell" / "sh"
    if bash and not link.exists():
        link.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError):
            link.symlink_to(bash)


def step_environment(
    order: AttemptOrder, record: Record, bin_folder: str, host: Mapping[str, str], pass_on: Iterable[str]
) -> dict[str, str]:
    """All variables of a step; the component's own come last and may refer to earlier ones as `$(NAME)`."""
    where = folders(record)
    env = {name: host[name] for name in (*_PASSED, *pass_on) if name in host}
    env |= {
        "PATH": os.pathsep.join(
            [bin_folder, f"{where['site']}/bin", str(shell_folder(record)), host.get("PATH") or _STANDARD_PATH]
        ),
        "HOME": where["home"],
        "TMPDIR": where["tmp"],
        "PWD": where["home"],
        "LANG": "C.UTF-8",
        "PYTHONUNBUFFERED": "1",  # what is printed is seen at once
        # What a step installs itself is its own: the environment is shared.
        "PIP_TARGET": where["site"],
        "PYTHONPATH": where["site"],
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        MARK: order.name,
        "KFP_POD_UID": str(uuid.uuid5(uuid.NAMESPACE_URL, order.name)),
        "KFP_RETRY_INDEX": str(order.number - 1),
    }
    for name, value in order.env:
        text = _expand(value, env)
        if name == "PYTHONPATH":
            text = f"{text}{os.pathsep}{where['site']}"
        elif name == "PATH":
            text = f"{bin_folder}{os.pathsep}{text}"
        env[name] = text
    return env


def _expand(value: str, env: Mapping[str, str]) -> str:
    """`$(NAME)` as Kubernetes does it: unknown names stay, `$$` is a dollar sign."""

    def replaced(match: re.Match[str]) -> str:
        return "$" if match.group() == "$$" else env.get(match.group(1), match.group())

    return _REFERENCE.sub(replaced, value)


def needs_new_interpreter(order: AttemptOrder) -> bool:
    """Whether the component sets variables that an interpreter reads only when it starts."""
    return any(_AT_START.match(name) for name, _ in order.env)
