"""Before the first run: what stands in the way of steps as pods is said, with what to do."""

from __future__ import annotations

import dataclasses
import pathlib

import pytest
import yaml

from runs.executors.kubernetes.check import Problem, old_version, problems
from tests.kubernetes.orders import CONFIG


@pytest.mark.parametrize(("major", "minor"), [("1", "29"), ("1", "36+"), ("2", "0"), ("", ""), ("1", "x")])
def test_a_new_or_unreadable_version_is_no_problem(major: str, minor: str) -> None:
    assert old_version({"major": major, "minor": minor}) == ""


@pytest.mark.parametrize("minor", ["28", "9", "28+"])
def test_an_old_cluster_is_refused_with_the_version_it_needs(minor: str) -> None:
    assert "1.29 or newer" in old_version({"major": "1", "minor": minor})


def test_a_kubeconfig_that_is_not_there_is_named(tmp_path: pathlib.Path) -> None:
    (found,) = problems(dataclasses.replace(CONFIG, kubeconfig=str(tmp_path / "none")))
    assert str(tmp_path / "none") in found.sentence and "KFDASH_KUBECONFIG" in found.sentence
    assert not found.passes


@pytest.mark.parametrize("text", ["", "no: [yaml", "just text", "{}", "apiVersion: v1\nkind: Config\ncontexts: []\n"])
def test_a_kubeconfig_that_is_none_is_said_to_be_unusable(tmp_path: pathlib.Path, text: str) -> None:
    file = tmp_path / "config"
    file.write_text(text)
    (found,) = problems(dataclasses.replace(CONFIG, kubeconfig=str(file)))
    assert "no usable kubeconfig" in found.sentence and not found.passes


def test_a_cluster_that_does_not_answer_may_do_so_later(tmp_path: pathlib.Path) -> None:
    (found,) = problems(dataclasses.replace(CONFIG, kubeconfig=kubeconfig(tmp_path, "https://127.0.0.1:9")))
    assert "https://127.0.0.1:9 does not answer" in found.sentence
    assert found == Problem(found.sentence, passes=True)


def test_a_context_that_is_not_in_the_kubeconfig_is_named(tmp_path: pathlib.Path) -> None:
    config = dataclasses.replace(CONFIG, kubeconfig=kubeconfig(tmp_path, "https://127.0.0.1:9"), context="other")
    (found,) = problems(config)
    assert "other" in found.sentence and not found.passes


def kubeconfig(folder: pathlib.Path, server: str) -> str:
    """A kubeconfig for this API server, with a token."""
    file = folder / "config"
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "here",
        "clusters": [{"name": "c", "cluster": {"server": server, "insecure-skip-tls-verify": True}}],
        "users": [{"name": "u", "user": {"token": "t"}}],
        "contexts": [{"name": "here", "context": {"cluster": "c", "user": "u", "namespace": "steps"}}],
    }
    file.write_text(yaml.safe_dump(content))
    return str(file)
