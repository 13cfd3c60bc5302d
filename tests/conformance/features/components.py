"""Small components of which the feature pipelines are made. (The SDK reads annotations as they are: nothing is postponed here.)"""

# ruff: noqa: UP006, UP035, UP045, PLC0415, B006  # the SDK knows these forms only; a component imports inside itself

import functools
from typing import List, NamedTuple, Optional

from kfp import dsl
from kfp.dsl import Artifact, ClassificationMetrics, Dataset, Input, Output, OutputPath, PipelineTaskFinalStatus

component = functools.partial(dsl.component, base_image="python:3.11")


@component
def echo(s: str) -> str:
    print(s)
    return s


@component
def echo_or_default(s: str = "the default") -> str:
    return s


@dsl.component(base_image="python:3.11", packages_to_install=["tomli-w==1.2.0"])
def with_a_package(d: dict) -> str:
    import tomli_w

    return tomli_w.dumps(d)


@dsl.component(base_image="python:3.11", packages_to_install=["tomli-w==1.2.0"], use_venv=True)
def with_a_package_in_a_venv(d: dict) -> str:
    import tomli_w

    return tomli_w.dumps(d)


@dsl.component(base_image="python:3.11", install_kfp_package=False)
def with_the_sdk_of_the_image(s: str) -> str:
    return s.upper()


def _twice(s: str) -> str:
    return s * 2


@dsl.component(base_image="python:3.11", additional_funcs=[_twice])
def with_another_function(s: str) -> str:
    return _twice(s)


@component
def shown(n: int = -1, x: float = -1.5, b: bool = True, s: str = "unset", v: list = ["unset"], d: dict = {"un": "set"}) -> str:
    return repr((n, x, b, s, v, d))


@component
def unset(n: Optional[int] = None, s: Optional[str] = None, v: Optional[list] = None, d: Optional[dict] = None) -> str:
    return repr((n, s, v, d))


@component
def number(n: int) -> int:
    return n


@component
def multiplied(a: int, b: int) -> int:
    return a * b


@component
def some(kind: str) -> bool:
    return kind == "true"


@component
def counted(n: int) -> List[int]:
    return list(range(n))


@component
def listed(v: list) -> list:
    return v


@component
def represented(v: list) -> str:
    return repr(v)


@component
def structured(d: dict) -> dict:
    return d


@component
def total(v: List[int]) -> int:
    return sum(v)


@component
def long_text(n: int) -> str:
    return "ä" * n


@component
def length(s: str) -> int:
    return len(s)


@component
def written(s: str, out: Output[Dataset]):
    with open(out.path, "w", encoding="utf-8") as file:
        file.write(s)


@component
def read(data: Input[Dataset]) -> str:
    with open(data.path, encoding="utf-8") as file:
        return file.read()


@component
def read_two(first: Input[Dataset], second: Input[Dataset]) -> str:
    with open(first.path) as one, open(second.path) as two:
        return one.read() + two.read()


@component
def joined(files: Input[List[Dataset]]) -> str:
    found = []
    for one in files or []:  # the SDK gives None for an empty list
        with open(one.path, encoding="utf-8") as file:
            found.append(file.read())
    return "|".join(found)


@component
def failing(message: str) -> str:
    raise ValueError(message)


@component
def failing_for(n: int, bad: int) -> int:
    if n == bad:
        raise ValueError(f"{n} is bad")
    return n


@component
def at_third_try(counter: str) -> str:
    import os
    import time

    with open(counter, "a") as file:
        file.write(f"{time.time()}\n")
    with open(counter) as file:
        times = file.read().split()
    if len(times) < 3:
        raise RuntimeError(f"try {len(times)}, KFP_RETRY_INDEX {os.environ.get('KFP_RETRY_INDEX')}")
    return " ".join(times)


@component
def told(status: PipelineTaskFinalStatus) -> dict:
    return {"state": status.state, "task": status.pipeline_task_name, "job": status.pipeline_job_resource_name}


@component
def state_of(status: dict) -> str:
    return status["state"]


@component
def with_metadata(out: Output[Artifact]):
    out.metadata.update(
        {
            "whole": 1,
            "fraction": 2.5,
            "yes": True,
            "no": False,
            "nothing": None,
            "text": 'ü "quoted"\n{{$.x}} \\',
            "list": [1, "a", None, [True]],
            "object": {"a": {"b": [1, {"c": 2.5}]}, "": "empty key"},
            "large": 12345678901234567,
        }
    )


@component
def labelled(s: str, out: Output[Dataset]):
    out.metadata["k"] = s
    with open(out.path, "w") as file:
        file.write(f"file of {s}")


@component
def configured(config: dsl.TaskConfig) -> str:
    return type(config).__name__


@component
def metadata_of(data: Input[Artifact]) -> dict:
    return {"found": {key: value for key, value in data.metadata.items() if key not in ("display_name", "store_session_info")}}


@component
def curve(out: Output[ClassificationMetrics]):
    out.log_roc_curve(fpr=[0.0, 0.5, 1.0], tpr=[0.0, 0.75, 1.0], threshold=[float("inf"), 0.5, 0.0])


@component
def folder_made(out: Output[Artifact]):
    import os

    os.makedirs(os.path.join(out.path, "inner"))
    for name in ("a.txt", "inner/b.txt"):
        with open(os.path.join(out.path, name), "w") as file:
            file.write(f"in {name}")


@component
def folder_listed(data: Input[Artifact]) -> List[str]:
    import os

    return sorted(os.path.relpath(os.path.join(where, name), data.path) for where, _, names in os.walk(data.path) for name in names)


@component
def nothing_written(out: Output[Dataset]):
    pass


@component
def kept_elsewhere(path: str, out: Output[Dataset]):
    out.custom_path = path
    with open(path, "w") as file:
        file.write("from elsewhere")


@component
def named_tuple(n: int) -> NamedTuple("Results", number=int, text=str, items=list, data=Dataset):  # type: ignore[valid-type]
    data = Dataset(uri=dsl.get_uri("data"))
    with open(data.path, "w") as file:
        file.write(str(n))
    return NamedTuple("Results", number=int, text=str, items=list, data=Dataset)(n, f"{n}", [n], data)


@component
def moved(uri: str, out: Output[Artifact]):
    out.uri = uri


@component
def returned(s: str) -> Dataset:
    data = Dataset(uri=dsl.get_uri("another"), metadata={"made": "by hand"})
    with open(data.path, "w") as file:
        file.write(s)
    return data


@component
def left_in(place: str, s: str) -> str:
    path = f"{place}/sub/file.txt"
    import os

    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w") as file:
        file.write(s)
    return path


@component
def maybe_read(data: Optional[Input[Dataset]] = None) -> str:
    if data is None:
        return "nothing given"
    with open(data.path) as file:
        return file.read()


@component
def found_in(path: str) -> str:
    with open(path) as file:
        return file.read()


@component
def environment(names: List[str]) -> dict:
    import os

    return {name: os.environ.get(name, "") for name in names}


@dsl.container_component
def argv(s: str, n: int, x: float, b: bool, v: list, d: dict):
    """Prints every value as its program gets it, one a line."""
    return dsl.ContainerSpec(image="any", command=["printf", "[%s]\\n"], args=[s, n, x, b, v, d])


@dsl.container_component
def put_together(name: str, maybe: Optional[str] = None, given: str = "d"):
    """Concat and IfPresent, one in the other."""
    return dsl.ContainerSpec(
        image="any",
        command=["printf", "[%s]\\n"],
        args=[
            dsl.ConcatPlaceholder(["--name=", name, ";"]),
            dsl.IfPresentPlaceholder("maybe", then=["--maybe", maybe], else_=["--without"]),
            dsl.ConcatPlaceholder(["a", dsl.IfPresentPlaceholder("maybe", then="b", else_="c"), "d"]),
            dsl.IfPresentPlaceholder("given", then=[dsl.ConcatPlaceholder(["--given=", given])]),
            dsl.IfPresentPlaceholder("maybe", then=["nothing is left of this"]),
        ],
    )


@dsl.container_component
def artifact_placeholders(data: Input[Dataset], many: Input[List[Dataset]], out: Output[Dataset]):
    """Prints everything that can be said of artifacts on a command line."""
    return dsl.ContainerSpec(
        image="any",
        command=["sh", "-c", 'cat "$1"; printf "\n"; printf "%s\n" "$@"; printf made > "$5"', "sh"],
        args=[data.path, data.uri, data.metadata["k"], many, out.path, dsl.PIPELINE_TASK_EXECUTOR_INPUT_PLACEHOLDER],
    )


@dsl.container_component
def told_by_hand(n: OutputPath(int), s: OutputPath(str), out: Output[Dataset]):  # type: ignore[valid-type]
    """Writes the executor's output file itself: its values win over those in files, what is not declared is left alone."""
    told = (
        '{"parameterValues": {"n": 4, "undeclared": 1}, "artifacts": {"out": {"artifacts": [{"metadata": {"told": true}}]},'
        ' "other": {"artifacts": [{}]}}}'
    )
    script = 'echo 3 > "$0"; printf "from a file" > "$1"; printf data > "$2"; mkdir -p "${3%/*}"; printf %s "$4" > "$3"'
    path = dsl.PIPELINE_TASK_EXECUTOR_OUTPUT_PATH_PLACEHOLDER
    return dsl.ContainerSpec(image="any", command=["sh", "-c", script], args=[n, s, out.path, path, told])


@dsl.container_component
def typed_files(
    n: OutputPath(int),  # type: ignore[valid-type]
    x: OutputPath(float),  # type: ignore[valid-type]
    b: OutputPath(bool),  # type: ignore[valid-type]
    s: OutputPath(str),  # type: ignore[valid-type]
    v: OutputPath(list),  # type: ignore[valid-type]
    d: OutputPath(dict),  # type: ignore[valid-type]
):
    """Writes one output of each type."""
    script = "echo ' 7 ' >$0; echo 2.50 >$1; echo True >$2; echo 'two words' >$3; echo '[1, \"a\"]' >$4; echo '{\"k\": null}' >$5"
    return dsl.ContainerSpec(image="any", command=["sh", "-c", script], args=[n, x, b, s, v, d])


@dsl.container_component
def bad_integer(n: OutputPath(int)):  # type: ignore[valid-type]
    return dsl.ContainerSpec(image="any", command=["sh", "-c", 'echo seven > "$0"', n])


@dsl.container_component
def bad_list(v: OutputPath(list)):  # type: ignore[valid-type]
    return dsl.ContainerSpec(image="any", command=["sh", "-c", 'echo "[1, 2" > "$0"', v])


@dsl.container_component
def wrong_kind(d: OutputPath(dict)):  # type: ignore[valid-type]
    return dsl.ContainerSpec(image="any", command=["sh", "-c", 'echo "[1, 2]" > "$0"', d])


@dsl.container_component
def not_written(s: OutputPath(str)):  # type: ignore[valid-type]
    return dsl.ContainerSpec(image="any", command=["sh", "-c", 'echo "$0"', s])


@dsl.container_component
def too_large(s: OutputPath(str)):  # type: ignore[valid-type]
    return dsl.ContainerSpec(image="any", command=["sh", "-c", 'head -c 40000000 /dev/zero | tr "\\0" x > "$0"', s])


@dsl.container_component
def no_program():
    return dsl.ContainerSpec(image="any", command=["no-such-program-anywhere", "--help"])


@dsl.container_component
def killed():
    return dsl.ContainerSpec(image="any", command=["sh", "-c", "kill -9 $$"])


@dsl.container_component
def slept(seconds: int):
    return dsl.ContainerSpec(image="any", command=["sleep", seconds])


@dsl.container_component
def said(s: str):
    return dsl.ContainerSpec(image="any", command=["echo", s])
