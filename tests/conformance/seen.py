"""A run as the public APIs tell of it: task tree, values, texts of artifacts, printed lines. Nothing is read from the database."""

from __future__ import annotations

import functools
import json
import re
import urllib.error
import urllib.parse
import urllib.request
from typing import Any

_BEGUN = re.compile(r"^\[KFP Executor .*\]: Got executor_input:$")
_ENDED = re.compile(r"^\[KFP Executor .*\]: ")
Json = Any


class Api:
    """GETs of one installation."""

    def __init__(self, address: str) -> None:
        self.address = address

    def text(self, path: str, **query: Any) -> str:
        """An answer's body. Raises AssertionError where the status is not 200."""
        address = f"{self.address}{path}" + (f"?{urllib.parse.urlencode(query)}" if query else "")
        try:
            with urllib.request.urlopen(address, timeout=60) as answer:
                return str(answer.read().decode())
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{address}: {error.code} {error.read()[:500]!r}") from None

    def json(self, path: str, **query: Any) -> Json:
        """An answer's body as JSON."""
        return json.loads(self.text(path, **query))


class Seen:
    """One run that has ended. Paths are written without the leading `root/`; `[*]` in a pattern stands for any iteration."""

    def __init__(self, api: Api, run_id: str) -> None:
        self.api, self.run_id = api, run_id
        self.run: Json = api.json(f"/apis/v2beta1/runs/{run_id}")
        found = api.json(f"/apis/kfdash/v1/runs/{run_id}/tasks").get("tasks", [])  # none yet in the first moments
        self.tasks: dict[str, Json] = {short(one["path"]): one for one in found}

    @property
    def state(self) -> str:
        """The run's state on KFP's wire."""
        return str(self.run["state"])

    @property
    def story(self) -> str:
        """What to say where something is not as expected: every task with its state and reason."""
        lines = [f"  {path or 'root'}: {one['state']} {one.get('reason', '')}" for path, one in self.tasks.items()]
        return "\n".join([f"run {self.run_id} {self.state}", *lines])

    def paths(self, pattern: str) -> list[str]:
        """Paths that match, iterations in order."""
        expression = re.compile(r"\[\d+\]".join(re.escape(part) for part in pattern.split("[*]")))
        return sorted((path for path in self.tasks if expression.fullmatch(path)), key=_in_order)

    def steps(self) -> dict[str, Json]:
        """Tasks that are not groups."""
        return {path: one for path, one in self.tasks.items() if one["kind"] not in ("dag", "loop")}

    def in_state(self, state: str) -> set[str]:
        """Paths of tasks in a state."""
        return {path for path, one in self.tasks.items() if one["state"] == state}

    def failed(self) -> set[str]:
        """Paths of the steps that failed."""
        return self.in_state("FAILED") & set(self.steps())

    def ran(self) -> dict[str, int]:
        """Key of a step → how many of them have succeeded or failed, those taken from the cache too."""
        counts: dict[str, int] = {}
        for path, one in self.steps().items():
            if one["state"] in ("SUCCEEDED", "FAILED"):
                key = path.rpartition("/")[2]
                counts[key] = counts.get(key, 0) + 1
        return counts

    def is_cached(self, path: str) -> bool:
        """Whether a step's outputs come from the cache."""
        return bool(self.tasks[path].get("cached_from"))

    def value(self, path: str, name: str) -> Json:
        """An output parameter of a task."""
        outputs = (self.tasks[path].get("outputs") or {}).get("parameters", {})
        assert name in outputs, f"{path or 'root'} has no output parameter {name!r}: {outputs}\n{self.story}"
        return outputs[name]

    def texts(self, path: str, name: str) -> list[str]:
        """The contents of the output artifacts of a task under a name."""
        return [self.content(one["artifact_id"]) for one in self.artifacts(path, name)]

    def artifacts(self, path: str, name: str, way: str = "outputs") -> list[Json]:
        """The artifacts under a name, as the API lists them: `metadata`, `type`, `uri`, …"""
        values = (self.tasks[path].get(way) or {}).get("artifacts", {})
        return [self.api.json(f"/apis/kfdash/v1/artifacts/{one['id']}") for one in values.get(name, [])]

    def content(self, artifact_id: int | str) -> str:
        """An artifact's file as text."""
        return _content(self.api, int(artifact_id))

    def inputs(self, path: str) -> Json:
        """A task's input parameters."""
        return (self.tasks[path].get("inputs") or {}).get("parameters", {})

    @functools.cache  # noqa: B019 (as long as the run is looked at)
    def lines(self, path: str, *, stream: str = "stdout") -> list[str]:
        """The lines of a step's last attempt on one stream."""
        found = self.api.json(f"/apis/kfdash/v1/runs/{self.run_id}/log", node=f"root/{path}", limit=10_000)
        return [one.get("text", "") for one in found.get("lines", []) if one["stream"] == stream]

    def printed(self, path: str) -> list[str]:
        """What the user's code printed: without the frame that KFP's executor prints around it."""
        lines = self.lines(path)
        begun = next((number for number, line in enumerate(lines) if _BEGUN.match(line)), None)
        if begun is None:
            return lines
        ends = [number for number, line in enumerate(lines) if line == "}" and number > begun]
        rest = lines[ends[0] + 1 :]
        return [line for line in rest if not _ENDED.match(line)]


@functools.lru_cache(maxsize=10_000)
def _content(api: Api, artifact_id: int) -> str:
    return api.text(f"/artifacts/{artifact_id}/download")


def short(path: str) -> str:
    """A path without `root`; empty for the root itself."""
    return path.removeprefix("root").removeprefix("/")


def _in_order(path: str) -> list[tuple[str, int]]:
    return [(part, int(number or -1)) for part, number in re.findall(r"([^\[/]+)(?:\[(\d+)\])?", path)]
