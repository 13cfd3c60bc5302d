"""From an order to a pod: every setting of the platform document, the site's template, and what makes no pod."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from runs.execution.platform import InvalidOrder
from runs.executors.kubernetes.manifest import manifest, workspace_manifest
from tests.kubernetes.orders import CONFIG, container, mounts, pod_of, step, volume

Json = Any


# --- the frame ------------------------------------------------------------------------------------------------------


def test_a_pod_says_whose_it_is_and_stays_until_its_end_is_recorded() -> None:
    order = step()
    pod = manifest(order, CONFIG, "a-token")
    assert pod["metadata"] == {
        "name": order.name,
        "labels": {"app.kubernetes.io/managed-by": "kfdash", "kfdash.dev/installation": "1234abcd", "kfdash.dev/run": "run-1"},
        "annotations": {"kfdash.dev/path": "root/step", "kfdash.dev/number": "1", "kfdash.dev/token": "a-token"},
        "finalizers": ["kfdash.dev/recorded"],
    }
    assert pod["spec"]["restartPolicy"] == "Never"
    assert pod["spec"]["terminationGracePeriodSeconds"] == 40


def test_the_users_command_runs_under_entry_and_nothing_of_it_is_in_the_pod() -> None:
    main = container(pod_of(command=("sh", "-c"), args=("echo $(HOME) {{$}}",)))
    assert main["command"] == ["/kfdash/bin/entry"]
    assert "args" not in main
    assert "echo" not in str(main)


def test_the_token_is_a_variable_of_the_launcher_alone() -> None:
    pod = pod_of()
    [source] = [one["valueFrom"] for one in container(pod, "launcher")["env"] if one["name"] == "KFDASH_TOKEN"]
    assert source == {"fieldRef": {"fieldPath": "metadata.annotations['kfdash.dev/token']"}}
    assert "kfdash.dev/token" not in str(container(pod))
    assert "a-token" not in str(pod["spec"])


def test_addresses_are_in_a_file_of_the_launcher_alone_for_they_are_renewed() -> None:
    pod = pod_of(config=dataclasses.replace(CONFIG, launcher_url="none"))
    assert mounts(pod, "launcher")["/var/run/kfdash"] == "kfdash-addresses"
    assert "kfdash-addresses" not in mounts(pod).values()
    assert "KFDASH_TOKEN" not in str(pod)
    assert "a-token" not in str(pod["spec"])


PLACES = {"/tmp/kfp", "/tmp/kfp_outputs", "/minio", "/gcs", "/s3", "/.local", "/.cache", "/.config"}
READS_AND_WRITES = {
    "inputs": {"artifacts": {"data": {"artifacts": [{"uri": "gs://bucket/data"}]}}},
    "outputs": {
        "parameters": {"number": {"outputFile": "/tmp/kfp/outputs/number"}},
        "artifacts": {"model": {"artifacts": [{"uri": "minio://kfdash/root/model"}]}},
        "outputFile": "/minio/kfdash/root/output_metadata.json",
    },
}


def test_launcher_and_step_share_volumes_where_the_step_has_inputs_and_outputs() -> None:
    pod = pod_of(executor_input=READS_AND_WRITES)
    for path in ("/kfdash", "/tmp/kfp", "/minio", "/gcs"):
        assert mounts(pod)[path] == mounts(pod, "launcher")[path]
    assert PLACES & set(mounts(pod)) == {"/tmp/kfp", "/minio", "/gcs"}


def test_the_other_places_that_steps_expect_are_folders_that_entry_makes() -> None:
    pod = pod_of(executor_input=READS_AND_WRITES)
    [places] = [variable["value"] for variable in container(pod, "launcher")["env"] if variable["name"] == "KFDASH_PLACES"]
    assert set(places.split(":")) == PLACES - set(mounts(pod))


@pytest.mark.parametrize(
    "more",
    [
        {"platform": {"securityContext": {"runAsUser": 1000}}},
        {"pod_template": {"spec": {"securityContext": {"runAsUser": 1000, "runAsNonRoot": True}}}},
        {"pod_template": {"spec": {"containers": [{"name": "main", "securityContext": {"readOnlyRootFilesystem": True}}]}}},
    ],
)
def test_who_cannot_make_folders_has_volumes_at_all_places(more: dict[str, Any]) -> None:
    pod = pod_of(executor_input=READS_AND_WRITES, **more)
    assert set(mounts(pod)) > PLACES
    assert all(variable["name"] != "KFDASH_PLACES" for variable in container(pod, "launcher")["env"])


def test_the_launcher_is_a_sidecar_that_fits_the_restricted_standard() -> None:
    launcher = container(pod_of(), "launcher")
    assert launcher["restartPolicy"] == "Always"
    assert launcher["lifecycle"] == {"postStart": {"exec": {"command": ["/opt/kfdash/entry", "--install", "/kfdash/bin/entry"]}}}
    assert launcher["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "seccompProfile": {"type": "RuntimeDefault"},
        "runAsUser": 65532,
        "runAsGroup": 65532,
        "runAsNonRoot": True,
        "readOnlyRootFilesystem": True,
    }


def test_an_image_with_its_own_entry_point_runs_alone() -> None:
    pod = pod_of(command=(), args=())
    assert "initContainers" not in pod["spec"]
    assert "command" not in container(pod) and "volumeMounts" not in container(pod)


def test_outputs_of_an_image_with_its_own_entry_point_are_refused() -> None:
    with pytest.raises(InvalidOrder, match="neither a command nor arguments"):
        pod_of(command=(), args=(), output_parameters={"x": "STRING"})


def test_arguments_alone_run_under_entry() -> None:
    assert container(pod_of(command=(), args=("true",)))["command"] == ["/kfdash/bin/entry"]


def test_a_step_has_no_service_account_token_unless_its_run_names_an_account() -> None:
    assert pod_of()["spec"]["automountServiceAccountToken"] is False
    named = pod_of(service_account="trainer")["spec"]
    assert (named["serviceAccountName"], named["automountServiceAccountToken"]) == ("trainer", True)


def test_the_deadline_stands_behind_entrys_own_time_limit() -> None:
    assert pod_of(timeout=10.5)["spec"]["activeDeadlineSeconds"] > 3600
    assert pod_of(timeout=10.5, command=(), args=())["spec"]["activeDeadlineSeconds"] == 11
    assert "activeDeadlineSeconds" not in pod_of()["spec"]


# --- what the platform document may say -----------------------------------------------------------------------------


def test_secrets_and_config_maps_are_volumes() -> None:
    pod = pod_of(
        {
            "secretAsVolume": [{"secretName": "My.Secret", "mountPath": "/s", "optional": True}],
            "configMapAsVolume": [{"configMapName": "settings", "mountPath": "/c/"}],
        }
        | {"secretAsVolume": [{"secretName": "my.secret", "mountPath": "/s", "optional": True}]}
    )
    assert volume(pod, "my-secret") == {"name": "my-secret", "secret": {"secretName": "my.secret", "optional": True}}
    assert volume(pod, "settings") == {"name": "settings", "configMap": {"name": "settings"}}
    assert (mounts(pod)["/s"], mounts(pod)["/c"]) == ("my-secret", "settings")


def test_secrets_config_maps_and_fields_are_variables() -> None:
    env = container(
        pod_of(
            {
                "secretAsEnv": [{"secretName": "s", "keyToEnv": [{"secretKey": "k", "envVar": "A"}], "optional": False}],
                "configMapAsEnv": [{"configMapName": "c", "keyToEnv": [{"configMapKey": "k", "envVar": "B"}]}],
                "fieldPathAsEnv": [{"name": "C", "fieldPath": "metadata.labels['team']"}],
            },
            env=(("PLAIN", "$(HOME)"),),
        )
    )["env"]
    assert env[0] == {"name": "PLAIN", "value": "$(HOME)"}
    assert env[-3:] == [
        {"name": "A", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k", "optional": False}}},
        {"name": "B", "valueFrom": {"configMapKeyRef": {"name": "c", "key": "k"}}},
        {"name": "C", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['team']"}}},
    ]


def test_a_claim_is_mounted_twice_as_one_volume() -> None:
    claims = [{"pvcName": "data", "mountPath": "/a", "subPath": "in"}, {"pvcName": "data", "mountPath": "/b"}]
    pod = pod_of({"pvcMount": claims})
    assert [v for v in pod["spec"]["volumes"] if "persistentVolumeClaim" in v] == [
        {"name": "data", "persistentVolumeClaim": {"claimName": "data"}}
    ]
    assert container(pod)["volumeMounts"][-2:] == [
        {"name": "data", "mountPath": "/a", "subPath": "in"},
        {"name": "data", "mountPath": "/b"},
    ]


def test_a_secret_and_a_claim_of_one_name_are_two_volumes() -> None:
    pod = pod_of(
        {
            "secretAsVolume": [{"secretName": "data", "mountPath": "/s"}],
            "pvcMount": [{"pvcName": "data", "mountPath": "/p"}],
        }
    )
    assert mounts(pod)["/s"] != mounts(pod)["/p"]


def test_ephemeral_and_empty_volumes_and_shared_memory() -> None:
    pod = pod_of(
        {
            "genericEphemeralVolume": [
                {
                    "volumeName": "Scratch",
                    "mountPath": "/scratch",
                    "size": "5Gi",
                    "storageClassName": "fast",
                    "metadata": {"labels": {"a": "b"}},
                }
            ],
            "emptyDirMounts": [{"volumeName": "mem", "mountPath": "/mem", "medium": "Memory", "sizeLimit": "1Gi"}],
            "enabledSharedMemory": {"volumeName": "shm", "size": "2Gi"},
        }
    )
    assert volume(pod, "scratch")["ephemeral"]["volumeClaimTemplate"] == {
        "metadata": {"labels": {"a": "b"}},
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "5Gi"}},
            "storageClassName": "fast",
        },
    }
    assert volume(pod, "mem")["emptyDir"] == {"medium": "Memory", "sizeLimit": "1Gi"}
    assert volume(pod, mounts(pod)["/dev/shm"])["emptyDir"] == {"medium": "Memory", "sizeLimit": "2Gi"}


def test_where_a_pod_may_run() -> None:
    term = {"matchExpressions": [{"key": "zone", "operator": "In", "values": ["a"]}]}
    spec = pod_of(
        {
            "nodeSelector": {"labels": {"disk": "ssd"}},
            "tolerations": [{"key": "gpu", "operator": "Exists"}],
            "nodeAffinity": [term, {**term, "weight": 5}],
        }
    )["spec"]
    assert spec["nodeSelector"] == {"disk": "ssd"}
    assert spec["tolerations"] == [{"key": "gpu", "operator": "Exists"}]
    assert spec["affinity"]["nodeAffinity"] == {
        "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]},
        "preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 5, "preference": term}],
    }


def test_which_pods_it_stands_beside_and_which_not() -> None:
    beside = {"matchPodLabels": {"app": "cache"}, "topologyKey": "zone", "namespaces": ["team"]}
    apart = {
        "matchPodExpressions": [{"key": "app", "operator": "Exists"}],
        "matchNamespaceLabels": {"tier": "batch"},
        "topologyKey": "kubernetes.io/hostname",
        "anti": True,
        "weight": 7,
    }
    node = {"matchExpressions": [{"key": "zone", "operator": "Exists"}]}
    found = pod_of({"podAffinity": [beside, apart], "nodeAffinity": [node]})["spec"]["affinity"]
    assert set(found) == {"nodeAffinity", "podAffinity", "podAntiAffinity"}
    assert found["podAffinity"] == {
        "requiredDuringSchedulingIgnoredDuringExecution": [
            {"topologyKey": "zone", "labelSelector": {"matchLabels": {"app": "cache"}}, "namespaces": ["team"]}
        ]
    }
    term = {
        "topologyKey": "kubernetes.io/hostname",
        "labelSelector": {"matchExpressions": [{"key": "app", "operator": "Exists"}]},
        "namespaceSelector": {"matchLabels": {"tier": "batch"}},
    }
    assert found["podAntiAffinity"] == {"preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 7, "podAffinityTerm": term}]}


def test_claims_of_devices_are_the_pods_and_its_steps() -> None:
    claims = [{"resourceClaimTemplateName": "one-gpu"}, {"resourceClaimName": "shared-gpu"}]
    pod = pod_of({"podResourceClaims": claims}, resources={"cpuLimit": "1"})
    assert pod["spec"]["resourceClaims"] == [
        {"name": "kfp-claim-1", "resourceClaimTemplateName": "one-gpu"},
        {"name": "kfp-claim-2", "resourceClaimName": "shared-gpu"},
    ]
    assert container(pod)["resources"] == {"limits": {"cpu": "1"}, "claims": [{"name": "kfp-claim-1"}, {"name": "kfp-claim-2"}]}
    assert "claims" not in container(pod, "launcher")["resources"]


def test_images_and_how_they_are_pulled() -> None:
    pod = pod_of({"imagePullPolicy": "Always", "imagePullSecret": [{"secretName": "registry"}]}, image="python:3.11")
    assert (container(pod)["image"], container(pod)["imagePullPolicy"]) == ("python:3.11", "Always")
    assert pod["spec"]["imagePullSecrets"] == [{"name": "registry"}]


def test_the_pods_labels_are_the_users_but_for_our_own() -> None:
    metadata = pod_of({"podMetadata": {"labels": {"team": "a", "kfdash.dev/run": "x"}, "annotations": {"note": "n"}}})["metadata"]
    assert (metadata["labels"]["team"], metadata["labels"]["kfdash.dev/run"]) == ("a", "run-1")
    assert metadata["annotations"]["note"] == "n"


def test_a_security_context_is_added_to_what_is_always_closed() -> None:
    context = container(pod_of({"securityContext": {"runAsUser": 1000, "runAsGroup": 0, "runAsNonRoot": True}}))["securityContext"]
    assert (context["runAsUser"], context["runAsGroup"], context["runAsNonRoot"]) == (1000, 0, True)
    assert context["allowPrivilegeEscalation"] is False and context["capabilities"] == {"drop": ["ALL"]}


def test_resources_and_accelerators() -> None:
    resources = {"cpuLimit": "2", "memoryRequest": "1Gi", "acceleratorType": "nvidia.com/gpu", "acceleratorCount": "1"}
    assert container(pod_of(resources=resources))["resources"] == {
        "limits": {"cpu": "2", "nvidia.com/gpu": "1"},
        "requests": {"memory": "1Gi"},
    }


def test_init_containers_come_before_the_launcher_and_mount_by_name() -> None:
    pod = pod_of(
        {
            "emptyDirMounts": [{"volumeName": "Share.d", "mountPath": "/share"}],
            "initContainers": [
                {
                    "name": "prepare",
                    "image": "busybox:latest",
                    "command": ["sh"],
                    "env": [{"name": "A", "value": "b"}],
                    "volumeMounts": [{"volumeName": "Share.d", "mountPath": "/in"}],
                },
                {"name": "beside", "image": "busybox:latest", "restartPolicy": "Always"},
            ],
        }
    )
    assert [c["name"] for c in pod["spec"]["initContainers"]] == ["prepare", "beside", "launcher"]
    assert container(pod, "prepare")["volumeMounts"] == [{"name": "share-d", "mountPath": "/in"}]
    assert container(pod, "beside")["restartPolicy"] == "Always"


def test_a_model_image_is_copied_to_where_the_step_looks_for_it() -> None:
    artifact = {
        "name": "m",
        "uri": "oci://registry.example/models/small:1",
        "type": {"schemaTitle": "system.Model"},
        "metadata": {},
    }
    pod = pod_of(executor_input={"inputs": {"artifacts": {"m": {"artifacts": [artifact, artifact]}}}})
    assert [c["name"] for c in pod["spec"]["initContainers"]] == ["model-1", "launcher"]
    assert container(pod, "model-1")["image"] == "registry.example/models/small:1"
    assert container(pod, "model-1")["command"][-1] == "/oci/registry.example_models_small:1/models"
    assert mounts(pod)["/oci"] == mounts(pod, "model-1")["/oci"]


def test_the_workspace_is_a_claim_of_the_run() -> None:
    claim = {
        "name": "run-x-kfp-workspace",
        "workspace": {"size": "1Gi", "kubernetes": {"pvcSpecPatch": {"storageClassName": "fast"}}},
    }
    order = step(workspace_claim=claim, workspace="run-1")
    pod = manifest(order, CONFIG, "t")
    assert mounts(pod)["/kfp-workspace"] == mounts(pod, "launcher")["/kfp-workspace"] == "kfp-workspace"
    assert workspace_manifest(order, "1234abcd")["spec"] == {
        "accessModes": ["ReadWriteOnce"],
        "storageClassName": "fast",
        "resources": {"requests": {"storage": "1Gi"}},
    }


# --- templates ------------------------------------------------------------------------------------------------------


def test_the_sites_template_lies_underneath() -> None:
    template = {
        "metadata": {"labels": {"team": "site", "kfdash.dev/run": "forged"}},
        "spec": {
            "priorityClassName": "batch",
            "tolerations": [{"key": "batch"}],
            "volumes": [{"name": "ca", "configMap": {"name": "ca"}}],
            "containers": [
                {
                    "name": "main",
                    "env": [{"name": "HTTPS_PROXY", "value": "p"}],
                    "volumeMounts": [{"name": "ca", "mountPath": "/ca"}],
                }
            ],
            "initContainers": [{"name": "launcher", "resources": {"limits": {"cpu": "1"}}}],
        },
    }
    pod = pod_of({"tolerations": [{"key": "gpu"}]}, dataclasses.replace(CONFIG, pod_template=template))
    assert (pod["metadata"]["labels"]["team"], pod["metadata"]["labels"]["kfdash.dev/run"]) == ("site", "run-1")
    assert pod["spec"]["priorityClassName"] == "batch"
    assert pod["spec"]["tolerations"] == [{"key": "batch"}, {"key": "gpu"}]
    assert mounts(pod)["/ca"] == "ca" and volume(pod, "ca") and mounts(pod)["/kfdash"] == "kfdash"
    assert {"name": "HTTPS_PROXY", "value": "p"} in container(pod)["env"]
    assert container(pod, "launcher")["resources"]["limits"] == {"cpu": "1", "memory": "64Mi"}
    assert template["spec"]["tolerations"] == [{"key": "batch"}]


# --- what makes no pod ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("platform", "says"),
    [
        ({"podMetadata": {"labels": {"team": "not allowed!"}}}, "cannot have the value 'not allowed!'"),
        ({"podMetadata": {"labels": {"a b": "c"}}}, "cannot be the name of a pod label"),
        ({"podMetadata": {"annotations": {"a b": "c"}}}, "cannot be the name of a pod annotation"),
        ({"nodeSelector": {"labels": {"disk": "s s d"}}}, "node label 'disk' cannot have the value"),
        ({"secretAsVolume": [{"secretName": "Ü", "mountPath": "/s"}]}, "cannot be the name of a secret"),
        ({"pvcMount": [{"pvcName": "", "mountPath": "/s"}]}, "cannot be the name of a volume claim"),
        ({"secretAsVolume": [{"secretName": "s", "mountPath": "s"}]}, "absolute path"),
        ({"secretAsVolume": [{"secretName": "s", "mountPath": "/a:b"}]}, "without ':'"),
        ({"secretAsVolume": [{"secretName": "s", "mountPath": "/a/../b"}]}, "'..'"),
        ({"secretAsVolume": [{"secretName": "s", "mountPath": "/minio/"}]}, "'/minio', where it has"),
        ({"pvcMount": [{"pvcName": "a", "mountPath": "/x"}, {"pvcName": "b", "mountPath": "/x/"}]}, "the volume claim 'b' at '/x'"),
        ({"pvcMount": [{"pvcName": "a", "mountPath": "/x", "subPath": "../b"}]}, "must be relative"),
        ({"emptyDirMounts": [{"volumeName": "", "mountPath": "/x"}]}, "no name"),
        (
            {
                "emptyDirMounts": [
                    {"volumeName": "v", "mountPath": "/x"},
                    {"volumeName": "v", "mountPath": "/y", "medium": "Memory"},
                ]
            },
            "Two different volumes",
        ),
        ({"imagePullPolicy": "Sometimes"}, "may be Always, Never, IfNotPresent"),
        ({"securityContext": {"runAsUser": 0, "runAsNonRoot": True}}, "must not be root"),
        ({"securityContext": {"runAsUser": -1}}, "below 0"),
        ({"initContainers": [{"name": "launcher", "image": "x"}]}, "the name is taken"),
        ({"initContainers": [{"name": "a", "image": "x"}, {"name": "a", "image": "x"}]}, "Two init containers"),
        ({"initContainers": [{"name": "A_b", "image": "x"}]}, "needs a name of a-z"),
        ({"initContainers": [{"name": "a", "image": ""}]}, "The init container 'a' has no image"),
        ({"initContainers": [{"name": "a", "image": "x", "restartPolicy": "Never"}]}, "only 'Always'"),
        ({"initContainers": [{"name": "a", "image": "x", "volumeMounts": [{"volumeName": "v"}]}]}, "which the step does not have"),
        ({"fieldPathAsEnv": [{"name": "a=b", "fieldPath": "metadata.name"}]}, "name of an environment variable"),
        ({"podResourceClaims": [{}]}, "must name either its template"),
        ({"podResourceClaims": [{"resourceClaimTemplateName": "a", "resourceClaimName": "b"}]}, "must name either its template"),
        ({"podResourceClaims": [{"resourceClaimTemplateName": "A b"}]}, "'A b' cannot be the name of a resource claim"),
    ],
)
def test_what_would_make_an_invalid_pod_is_refused_in_words(platform: dict[str, Json], says: str) -> None:
    with pytest.raises(InvalidOrder) as refused:
        pod_of(platform)
    assert says in str(refused.value)


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"image": ""}, "no image"),
        ({"image": "two words"}, "no image"),
        ({"env": (("", "x"),)}, "name of an environment variable"),
        ({"resources": {"memoryLimit": "lots"}}, "'lots' is no quantity of memory"),
        ({"resources": {"acceleratorType": "a gpu", "acceleratorCount": "1"}}, "name of a resource"),
        ({"workspace_claim": {"name": "w", "workspace": {}}, "workspace": "r"}, "no size"),
    ],
)
def test_what_else_cannot_be_is_refused_in_words(fields: dict[str, Json], says: str) -> None:
    with pytest.raises(InvalidOrder) as refused:
        order = step(**fields)
        manifest(order, CONFIG, "t")
        workspace_manifest(order, "i")
    assert says in str(refused.value)
