"""What the SDK compiles is recognised by its command; all else is run as it is."""

from __future__ import annotations

import warnings

import pytest
import yaml
from kfp import dsl

from runs.execution.recipe import KFP_RUNTIME, recognise

RUNTIME = ".".join(map(str, KFP_RUNTIME))
TYPING = 'typing-extensions>=3.7.4,<5; python_version<"3.9"'


def compiled(**options):
    def component():
        pass

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        container = dsl.component(**options)(component).component_spec.implementation.container
    return [*container.command, *container.args]


def test_a_lightweight_component_is_an_environment_and_a_source():
    recipe = recognise(compiled())
    assert len(recipe.installs) == 1
    assert recipe.installs[0][0].startswith("kfp==2.")
    assert recipe.installs[0][1:] == ("--no-deps", TYPING)
    assert "def component():" in recipe.source
    assert recipe.args == ("--executor_input", "{{$}}", "--function_to_execute", "component")
    assert recipe.argv[:2] == ("sh", "-ec")


def test_packages_come_before_kfp_with_their_markers_and_indexes():
    recipe = recognise(
        compiled(packages_to_install=['x[extra]>=1; python_version<"4"', "it's"], pip_index_urls=["https://one/simple"])
    )
    assert recipe.installs[0] == (
        "--index-url",
        "https://one/simple",
        "--trusted-host",
        "https://one/simple",
        'x[extra]>=1; python_version<"4"',
        "it's",
    )
    assert recipe.packages == "x, it's, kfp"


def test_a_component_with_a_virtual_environment_of_its_own_is_recognised():
    recipe = recognise(compiled(packages_to_install=["a"], use_venv=True))
    assert [install[0] for install in recipe.installs] == ["a", recipe.installs[1][0]]
    assert recipe.source


@pytest.mark.parametrize("packages", [[], ["a"]])
def test_without_kfp_in_the_command_it_is_still_there(packages):
    recipe = recognise(compiled(packages_to_install=packages, install_kfp_package=False))
    assert recipe.installs[-1] == (f"kfp=={RUNTIME}", "--no-deps")
    assert recipe.source


def test_kfp_from_a_repository_is_not_installed_twice():
    path = "git+https://github.com/kubeflow/pipelines.git@master#subdirectory=sdk/python"
    assert recognise(compiled(kfp_package_path=path)).installs == ((path,),)


def test_an_older_component_that_installs_first_keeps_its_program():
    script = (
        "(PIP_DISABLE_PIP_VERSION_CHECK=1 python3 -m pip install --quiet --no-warn-script-location 'a==1' 'b' || "
        "PIP_DISABLE_PIP_VERSION_CHECK=1 python3 -m pip install --quiet --no-warn-script-location 'a==1' 'b' --user) "
        '&& "$0" "$@"'
    )
    recipe = recognise(["sh", "-c", script, "python3", "-u", "-c", "print(1)", "--x", "1"])
    assert recipe.installs == (("a==1", "b"),)
    assert recipe.source is None
    assert recipe.argv == ("python3", "-u", "-c", "print(1)", "--x", "1")


@pytest.mark.parametrize(
    "script",
    [
        'pip install a && echo done && "$0" "$@"',
        'pip install $PACKAGES && "$0" "$@"',
        'pip install "$(cat list)" && "$0" "$@"',
        'pip install a > /dev/null && "$0" "$@"',
        'pip install -e . && "$0" "$@"',
        'pip install a; rm -rf x && "$0" "$@"',
        'pip install a && "$0" "$@" --more',
        "pip install 'a",
        'pip install && "$0" "$@"',
    ],
)
def test_a_script_that_does_more_is_run_as_it_is(script):
    command = ["sh", "-c", script, "prog"]
    recipe = recognise(command)
    assert recipe.installs is None
    assert recipe.argv == tuple(command)


def test_commands_are_run_as_they_are():
    assert recognise(["echo", "hello"]).argv == ("echo", "hello")
    assert recognise([]).argv == ()


def test_every_lightweight_component_of_the_conformance_pipelines_is_recognised(conformance):
    count = 0
    for path in (conformance / "pipelines").rglob("*.yaml"):
        for document in yaml.safe_load_all(path.read_text()):
            for executor in (document or {}).get("deploymentSpec", {}).get("executors", {}).values():
                container = executor.get("container", {})
                if "kfp.dsl.executor_main" in str(container.get("command")):
                    recipe = recognise([*container["command"], *container["args"]])
                    assert recipe.source, path
                    count += 1
    assert count > 200


@pytest.mark.parametrize(
    ("written", "installed"),
    [("2.9.0", RUNTIME), ("2.14.6", RUNTIME), (RUNTIME, RUNTIME), ("2.99.0", "2.99.0"), ("1.8.22", "1.8.22"), ("3.0.0", "3.0.0")],
)
def test_the_compilers_own_line_gets_our_executor_unless_it_names_a_newer_one(written, installed):
    script = f"python3 -m pip install --quiet 'kfp=={written}' '--no-deps' && \"$0\" \"$@\""
    assert recognise(["sh", "-c", script, "echo", "hi"]).installs == ((f"kfp=={written}", "--no-deps"),)
    compiled_source = compiled()
    assert recognise(["sh", "-c", script, *compiled_source[3:]]).installs == ((f"kfp=={installed}", "--no-deps"),)
