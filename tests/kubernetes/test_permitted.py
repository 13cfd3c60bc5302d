"""Pod templates: what the installation's may hold, what a run's may, and how they lie over one another."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from pipelines.spec.problems import Refused
from runs.execution.platform import InvalidOrder
from runs.executors.kubernetes.permitted import run_template, site_template
from tests.kubernetes.orders import CONFIG, container, mounts, pod_of, volume

Json = Any

MAIN = "spec: {containers: [{name: main, "
INIT = "spec: {initContainers: [{name: warm, image: 'busybox:1', "


def refusal(text: str | dict[str, Json]) -> str:
    with pytest.raises(Refused) as refused:
        run_template(text)
    return str(refused.value)


def test_a_runs_template_is_its_metadata_and_spec() -> None:
    text = """
        apiVersion: v1
        kind: Pod
        metadata: {labels: {team: risk}, annotations: {note: "1"}}
        spec:
          priorityClassName: batch
          securityContext: {fsGroup: 1000, supplementalGroups: [4]}
          resourceClaims: [{name: gpu, resourceClaimTemplateName: one-gpu}]
          volumes: [{name: ca, configMap: {name: ca}}]
          containers:
            - name: main
              env: [{name: A, value: "1"}, {name: B, valueFrom: {fieldRef: {fieldPath: status.podIP}}}]
              resources: {claims: [{name: gpu}]}
              volumeMounts: [{name: ca, mountPath: /etc/ca}]
          initContainers:
            - {name: warm, image: "busybox:1", restartPolicy: Always, command: [sleep, "9"]}
            - {name: launcher, resources: {limits: {memory: 128Mi}}}
    """
    found = run_template(text)
    assert set(found) == {"metadata", "spec"}
    assert found["spec"]["containers"][0]["env"][0] == {"name": "A", "value": "1"}
    assert run_template(found) == found
    assert run_template("spec: {nodeSelector: {volumes: fast}}")["spec"]["nodeSelector"] == {"volumes": "fast"}
    assert run_template("") == run_template("# nothing\n") == run_template({}) == {}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("spec: [", "This is neither YAML nor JSON"),
        ("- a", "a pod's `metadata` and `spec`"),
        ("spec: {}\n---\nspec: {}", "has several. (line 3)"),
        ("sepc: {}", "`sepc` is no part of a pod; did you mean `spec`? (line 1, sepc)"),
        ("kind: Deployment", "A template is a Pod. (line 1, kind)"),
        ("spec: {containers: {name: main}}", "`containers` must be a list. (line 1, spec.containers)"),
        (
            "spec:\n  containers:\n  - {env: []}",
            "Each item of `containers` must be an object with `name`. (line 3, spec.containers[0])",
        ),
        ("spec: {toleration: []}", "may not set `toleration` here; did you mean `tolerations`?"),
        ("spec: {tolerations: {key: a}}", "`tolerations` must be a list."),
        ("spec: {activeDeadlineSeconds: true}", "`activeDeadlineSeconds` must be a whole number."),
        ("spec: {enableServiceLinks: 1}", "`enableServiceLinks` must be true or false."),
        ("spec: {hostNetwork: true}", "`hostNetwork` opens the node to the step: only the installation's own template"),
        ("spec: {volumes: [{name: v, hostPath: {path: /}}]}", "`hostPath` opens the node"),
        ("spec: {nodeName: node-1}", "pass the scheduler by"),
        ("spec: {restartPolicy: Always}", "`restartPolicy` is set by kfdash"),
        ("spec: {shareProcessNamespace: true}", "see kfdash's launcher"),
        ("spec: {securityContext: {sysctls: []}}", "`sysctls` opens the node"),
        ("metadata: {name: x}", "`name` of the pod is set by kfdash"),
        ("metadata: {finalizers: [a/b]}", "`finalizers` of the pod is set by kfdash"),
        ("metadata: {labels: {kfdash.dev/run: x}}", "`kfdash.dev/run` is set by kfdash"),
        ("metadata: {labels: {app.kubernetes.io/managed-by: x}}", "is set by kfdash"),
        ("metadata: {labels: {n: 1}}", "put it in quotes. (line 1, metadata.labels.n)"),
        ("metadata: {labels: {n: 'a b'}}", "at most 63 letters"),
        ("metadata: {annotations: {'a b': c}}", "cannot be the name of an annotation"),
        (MAIN + "image: x}]}", "`image` comes from the pipeline"),
        (MAIN + "command: [x]}]}", "`command` comes from the pipeline"),
        (MAIN + "env: [{name: A, value: 1}]}]}", "put it in quotes. (line 1, spec.containers[0].env[0].value)"),
        (MAIN + "securityContext: {privileged: true}}]}", "`privileged` opens the node"),
        (MAIN + "securityContext: {capabilities: {add: [SYS_ADMIN]}}}]}", "`capabilities` opens the node"),
        (MAIN + "volumeMounts: [{name: kfdash-addresses, mountPath: /x}]}]}", "has no volume `kfdash-addresses`"),
        ("spec: {containers: [{name: beside, image: x}]}", "`restartPolicy: Always`"),
        ("spec: {volumes: [{name: kfdash-addresses, emptyDir: {}}]}", "is taken by a volume of kfdash"),
        ("spec: {initContainers: [{name: launcher, image: x}]}", "only its `resources` may be set"),
        ("spec: {initContainers: [{name: warm}]}", "needs an `image`"),
        (INIT + "restartPolicy: OnFailure}]}", "is `Always`, or is left out"),
        (INIT + "securityContext: {privileged: true}}]}", "`privileged` opens the node"),
        (INIT + "volumeMounts: [{name: other, mountPath: /x}]}]}", "has no volume `other`"),
    ],
)
def test_what_a_runs_template_may_not_hold_is_said_with_its_place(text: str, says: str) -> None:
    assert says in refusal(text)


@pytest.mark.parametrize("path", ["/kfdash/x", "/var/run/kfdash", "/tmp/kfp/", "/minio", "/kfp-workspace", "relative", "/a:b"])
def test_a_template_mounts_nothing_where_kfdash_does(path: str) -> None:
    main = {"name": "main", "volumeMounts": [{"name": "v", "mountPath": path}]}
    found = refusal({"spec": {"volumes": [{"name": "v", "emptyDir": {}}], "containers": [main]}})
    assert "spec.containers[0].volumeMounts[0].mountPath" in found


def test_every_problem_is_said_at_once() -> None:
    assert len(refusal("spec:\n  hostPID: true\n  nodeName: a\nmetadata: {name: x}").splitlines()) == 3


def test_an_object_is_checked_like_a_text_and_has_a_limit() -> None:
    assert refusal({"spec": {"hostPID": True}}).endswith("(spec.hostPID)")
    assert "are allowed" in refusal({"metadata": {"annotations": {"a": "x" * 70_000}}})
    assert "NUL" in refusal({"metadata": {"annotations": {"a": "\0"}}})


def test_the_installations_template_may_hold_anything_of_a_pod() -> None:
    text = "spec: {hostNetwork: true, volumes: [{name: v, hostPath: {path: /}}], containers: [{name: main, image: x}]}"
    assert site_template(text)["spec"]["hostNetwork"] is True
    with pytest.raises(Refused, match="must be a list"):
        site_template("spec: {volumes: {}}")


# --- how they lie over one another ----------------------------------------------------------------------------------


def test_a_runs_template_lies_over_the_installations_and_under_the_step() -> None:
    site = {
        "metadata": {"labels": {"team": "site", "cost": "a"}},
        "spec": {"priorityClassName": "low", "nodeSelector": {"zone": "a"}, "tolerations": [{"key": "site"}]},
    }
    run = run_template(
        """
        metadata: {labels: {team: risk}}
        spec:
          priorityClassName: high
          nodeSelector: {zone: b, disk: hdd}
          tolerations: [{key: run}]
          containers: [{name: main, resources: {requests: {cpu: 100m, memory: 1Gi}}, env: [{name: A, value: run}]}]
        """
    )
    platform = {"nodeSelector": {"labels": {"disk": "ssd"}}}
    config = dataclasses.replace(CONFIG, pod_template=site)
    pod = pod_of(platform, config, pod_template=run, env=(("A", "step"),), resources={"memoryRequest": "2Gi"})
    assert pod["metadata"]["labels"]["team"] == "risk" and pod["metadata"]["labels"]["cost"] == "a"
    assert pod["spec"]["priorityClassName"] == "high"
    assert pod["spec"]["nodeSelector"] == {"zone": "b", "disk": "ssd"}
    assert pod["spec"]["tolerations"] == [{"key": "site"}, {"key": "run"}]
    assert container(pod)["resources"]["requests"] == {"cpu": "100m", "memory": "2Gi"}
    assert [variable for variable in container(pod)["env"] if variable["name"] == "A"] == [{"name": "A", "value": "step"}]
    assert pod["metadata"]["labels"]["kfdash.dev/run"] == "run-1"


def test_containers_and_volumes_of_a_runs_template_are_beside_kfdashs_own() -> None:
    run = run_template(
        """
        spec:
          volumes: [{name: ca, configMap: {name: ca}}]
          containers: [{name: main, volumeMounts: [{name: ca, mountPath: /ca}]}]
          initContainers:
            - {name: warm, image: "busybox:1", securityContext: {runAsUser: 5}, volumeMounts: [{name: ca, mountPath: /ca}]}
            - {name: launcher, resources: {limits: {memory: 128Mi}}}
        """
    )
    pod = pod_of(pod_template=run)
    assert volume(pod, "ca") and mounts(pod)["/ca"] == "ca" and mounts(pod)["/kfdash"] == "kfdash"
    warm = container(pod, "warm")["securityContext"]
    assert warm["runAsUser"] == 5 and warm["capabilities"] == {"drop": ["ALL"]} and warm["allowPrivilegeEscalation"] is False
    launcher = container(pod, "launcher")
    assert launcher["resources"]["limits"] and launcher["image"] == CONFIG.image and launcher["securityContext"]["runAsNonRoot"]


@pytest.mark.parametrize(
    ("own", "says"),
    [
        ("initContainers: [{name: setup, image: mine}]", "a container 'setup', as the installation's"),
        ("volumes: [{name: disk, emptyDir: {}}]", "a volume 'disk', as the installation's"),
    ],
)
def test_a_run_does_not_slip_into_what_the_installation_gave_rights_to(own: str, says: str) -> None:
    site = {
        "spec": {
            "initContainers": [{"name": "setup", "image": "site", "securityContext": {"privileged": True}}],
            "volumes": [{"name": "disk", "hostPath": {"path": "/"}}],
        }
    }
    with pytest.raises(InvalidOrder, match=says):
        pod_of(config=dataclasses.replace(CONFIG, pod_template=site), pod_template=run_template(f"spec: {{{own}}}"))
