"""Pods in states that a small test cluster cannot be brought into, written after the API's documentation and the sources of
kubelet, scheduler, containerd and CRI-O: registries that refuse, nodes under pressure, taints by name, many nodes, webhooks.

What a real cluster was seen to say is in `test_diagnosis_recorded.py`.
"""

from __future__ import annotations

import pytest

from runs.executors.kubernetes.diagnosis import Diagnosis, diagnose, refusal

HEAD = 'rpc error: code = Unknown desc = failed to pull and unpack image "{0}": failed to resolve reference "{0}": '


def pod(*, waiting=None, message="", phase="Pending", node="node-7", image="registry.example.com/team/model:1", **more):
    state = {"waiting": {"reason": waiting, "message": message}} if waiting else {}
    return {
        "metadata": {"name": "train-1", "namespace": "team", **more.get("metadata", {})},
        "spec": {
            "nodeName": node,
            "containers": [{"name": "main", "image": image, "resources": more.get("resources", {})}],
            **more.get("spec", {}),
        },
        "status": {
            "phase": phase,
            "containerStatuses": [{"name": "main", "state": more.get("state", state), "restartCount": 0}],
            **more.get("status", {}),
        },
    }


def event(reason, message, at="2026-03-01T10:00:00Z"):
    return {"reason": reason, "message": message, "type": "Warning", "lastTimestamp": at}


def said(document, *events, lines=(), **known) -> Diagnosis:
    found = diagnose(document, events, lines, **known)
    assert found is not None
    return found


PULLS = {  # what the container runtime says → the sentence's begin, whether the attempt fails
    HEAD + "failed to authorize: failed to fetch anonymous token: unexpected status from GET request: 401 Unauthorized": (
        "Image not pullable: registry.example.com refuses team/model:1. It needs a login",
        True,
    ),
    HEAD + "pull access denied, repository does not exist or may require authorization: server message: insufficient_scope": (
        "Image not pullable: registry.example.com refuses team/model:1.",
        True,
    ),
    HEAD + "unexpected status from HEAD request to https://registry.example.com/v2/team/model/manifests/1: 403 Forbidden": (
        "Image not pullable: registry.example.com refuses team/model:1.",
        True,
    ),
    "rpc error: code = Unknown desc = reading manifest 1 in registry.example.com/team/model: unauthorized: access denied": (
        "Image not pullable: registry.example.com refuses team/model:1.",
        True,
    ),
    "rpc error: code = Unknown desc = reading manifest 1 in registry.example.com/team/model: manifest unknown": (
        "Image not found: registry.example.com has no team/model:1.",
        True,
    ),
    HEAD + "failed to do request: dial tcp: lookup registry.example.com: no such host": (
        "Image not pullable: registry.example.com cannot be reached for team/model:1; its name is unknown to the node.",
        False,
    ),
    HEAD + "failed to do request: dial tcp 10.0.0.5:443: connect: connection refused": (
        "Image not pullable: registry.example.com cannot be reached for team/model:1; it refuses the connection.",
        False,
    ),
    HEAD + "failed to do request: dial tcp 10.0.0.5:443: i/o timeout": (
        "Image not pullable: registry.example.com cannot be reached for team/model:1; it does not answer.",
        False,
    ),
    HEAD + "unexpected status from HEAD request to https://registry.example.com/v2/: 503 Service Unavailable": (
        "Image not pullable: registry.example.com cannot be reached for team/model:1; it is not available now.",
        False,
    ),
    HEAD + "unexpected status code 429 Too Many Requests - toomanyrequests: You have reached your pull rate limit.": (
        "Image not pulled yet: registry.example.com allows no more pulls for now.",
        False,
    ),
    HEAD + "failed to do request: tls: failed to verify certificate: x509: certificate signed by unknown authority": (
        "Image not pullable: the node and registry.example.com do not agree on TLS (certificate signed by unknown authority).",
        False,
    ),
    'rpc error: code = NotFound desc = failed to pull and unpack image "{0}": no match for platform in manifest: not found': (
        "Wrong architecture: registry.example.com/team/model:1 has nothing for the processor of node-7.",
        True,
    ),
    "rpc error: code = Unknown desc = choosing image: no image found in manifest list for architecture amd64": (
        "Wrong architecture: registry.example.com/team/model:1 has nothing for the processor of node-7.",
        True,
    ),
    "rpc error: code = Unknown desc = failed to extract layer: write /usr/lib/x.so: no space left on device": (
        "Image not pullable: the disk of node-7 is full.",
        False,
    ),
    "rpc error: code = Unknown desc = something that nobody foresaw": (
        "Image not pullable: registry.example.com/team/model:1: something that nobody foresaw. The cluster tries again.",
        False,
    ),
}


@pytest.mark.parametrize("message", PULLS)
def test_a_registry_that_gives_no_image_is_quoted_in_words(message):
    begin, fails = PULLS[message]
    found = said(pod(waiting="ErrImagePull", message=message.replace("{0}", "registry.example.com/team/model:1")))
    assert found.sentence.startswith(begin)
    assert (found.fails, found.attention, found.retryable) == (fails, not fails, not fails)


def test_a_back_off_without_a_reason_takes_it_from_the_events():
    failed = 'Failed to pull image "registry.example.com/team/model:1": rpc error: code = NotFound desc = manifest unknown'
    document = pod(waiting="ImagePullBackOff", message='Back-off pulling image "registry.example.com/team/model:1"')
    found = said(document, event("Failed", failed), event("Failed", "Error: ErrImagePull", "2026-03-01T10:00:01Z"))
    assert found.sentence.startswith("Image not found: registry.example.com has no team/model:1.")


def test_a_login_that_does_not_suffice_is_named():
    message = "rpc error: unexpected status: 403 Forbidden"
    found = said(pod(waiting="ErrImagePull", message=message, spec={"imagePullSecrets": [{"name": "registry-login"}]}))
    assert "The login in the image pull secret registry-login does not suffice" in found.sentence


def test_an_image_whose_user_has_no_number_cannot_be_known_not_to_be_root():
    message = "container has runAsNonRoot and image has non-numeric user (jovyan), cannot verify user is non-root"
    found = said(pod(waiting="CreateContainerConfigError", message=message))
    assert found.fails and not found.retryable
    assert found.sentence.startswith("User not known: the step must not run as root, and registry.example.com/team/model:1 names")
    assert "(jovyan)" in found.sentence


def test_an_image_without_a_command_says_so():
    message = 'failed to generate container "x" spec: failed to generate spec: no command specified'
    found = said(pod(waiting="CreateContainerError", message=message))
    assert found.sentence.startswith(
        "No command: neither the step nor its image registry.example.com/team/model:1 says what to run."
    )


LOST = {
    "The node was low on resource: memory. Threshold quantity: 100Mi, available: 3560Ki. "
    "Container main was using 4000Mi, request is 0, has larger consumption of memory. ": (
        "Evicted: node-7 ran low on memory; the step used 4000 MiB and had asked for none. Ask for as much memory as the step uses."
    ),
    "The node was low on resource: ephemeral-storage. Threshold quantity: 10Gi, available: 1Gi. ": (
        "Evicted: node-7 ran low on disk. Ask for as much disk as the step uses."
    ),
    "The node had condition: [DiskPressure]. ": "Evicted: node-7 ran low on disk.",
    "The node had condition: [MemoryPressure]. ": "Evicted: node-7 ran low on memory.",
    "Pod was evicted for a reason of its own": "Evicted from node-7: Pod was evicted for a reason of its own.",
}


@pytest.mark.parametrize("message", LOST)
def test_a_node_under_pressure_costs_the_step_no_retry(message):
    found = said(pod(phase="Failed", status={"reason": "Evicted", "message": message}))
    assert found.sentence == LOST[message]
    assert found.fails and found.lost


def test_a_container_beyond_its_own_disk_limit_has_itself_to_blame():
    message = 'Container main exceeded its local ephemeral storage limit "2Gi". '
    found = said(pod(phase="Failed", status={"reason": "Evicted", "message": message}))
    assert found.fails and not found.lost
    assert found.sentence.startswith("Evicted: it wrote more than 2 GiB to its container's disk, its limit.")


@pytest.mark.parametrize(
    ("reason", "sentence"),
    [
        ("NodeLost", "Node lost: node-7 does not answer any more while the step was on it."),
        ("Terminated", "Node lost: node-7 was shut down while the step was on it."),
        ("NodeShutdown", "Node lost: node-7 was shut down while the step was on it."),
    ],
)
def test_a_node_that_went_away_costs_the_step_no_retry(reason, sentence):
    found = said(
        pod(phase="Failed", status={"reason": reason, "message": "Pod was terminated in response to imminent node shutdown."})
    )
    assert (found.sentence, found.lost) == (sentence, True)


def test_a_taint_that_came_later_moves_the_pod_and_does_not_lose_its_node():
    disrupted = {"type": "DisruptionTarget", "status": "True", "reason": "DeletionByTaintManager"}
    document = pod(phase="Running", status={"conditions": [disrupted, {"type": "Ready", "status": "True"}]})
    found = said(document)
    assert found.sentence == "Moved off its node: node-7 got a taint (NoExecute) that the step does not tolerate."


def test_a_node_without_the_device_says_what_its_plugin_said():
    message = (
        "Pod was rejected: Allocate failed due to no healthy devices present; cannot allocate unhealthy devices nvidia.com/gpu"
    )
    found = said(pod(phase="Failed", status={"reason": "UnexpectedAdmissionError", "message": message, "containerStatuses": []}))
    assert found.sentence.startswith("Refused by its node: node-7 says Pod was rejected: Allocate failed due to no healthy devices")
    assert found.lost


def test_a_volume_that_another_node_holds_is_waited_for():
    message = 'Multi-Attach error for volume "pvc-1" Volume is already used by pod(s) other-1'
    found = said(pod(waiting="ContainerCreating"), event("FailedAttachVolume", message))
    assert found.sentence.startswith("Volume in use: pvc-1 is attached to another node")
    assert found.attention and not found.fails


def test_a_timeout_of_mounting_leaves_the_floor_to_the_reason_before_it():
    document = pod(waiting="ContainerCreating")
    first = event("FailedMount", 'MountVolume.SetUp failed for volume "v" : secret "tls" not found')
    later = event(
        "FailedMount",
        "Unable to attach or mount volumes: unmounted volumes=[v], timed out waiting for the condition",
        "2026-03-01T10:02:00Z",
    )
    assert said(document, later, first).sentence.startswith("No such secret: tls does not exist in namespace team.")


# --- scheduling -------------------------------------------------------------------------------------------------------


def unscheduled(message, **more):
    condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}
    return pod(node="", status={"conditions": [condition], "containerStatuses": []}, **more)


SCHEDULING = {
    "0/3 nodes are available: 1 node(s) had untolerated taint {nvidia.com/gpu: present}, 2 Insufficient nvidia.com/gpu. "
    "preemption: 0/3 nodes are available: 1 Preemption is not helpful for scheduling, 2 No preemption victims found.": (
        "Waits for room: of 3 nodes, 1 has a taint that the step does not tolerate (nvidia.com/gpu: present) and "
        "2 have not enough nvidia.com/gpu free (the step asks for 1). It starts when others end."
    ),
    "0/5 nodes are available: 2 node(s) were unschedulable, 3 node(s) had volume node affinity conflict. "
    "preemption: 0/5 nodes are available: 5 Preemption is not helpful for scheduling.": (
        "Cannot be scheduled: of 5 nodes, 2 are closed to new pods (cordoned) and 3 are not where its volume lies. "
        "Open the node again (uncordon)."
    ),
    "0/4 nodes are available: 4 Too many pods. preemption: 0/4 nodes are available: 4 No preemption victims found.": (
        "Waits for room: of 4 nodes, 4 have no room for more pods. It starts when others end."
    ),
    "no nodes available to schedule pods": "Cannot be scheduled: the cluster has no nodes. Add one.",
    "0/2 nodes are available: 2 node(s) didn't match pod anti-affinity rules.": (
        "Cannot be scheduled: of 2 nodes, 2 are taken by pods that it must not stand beside. "
        "Look at the nodes, or change where the step may run."
    ),
    'running PreBind plugin "VolumeBinding": binding volumes: timed out': (
        'Cannot be scheduled: running PreBind plugin "VolumeBinding": binding volumes: timed out.'
    ),
}


@pytest.mark.parametrize("message", SCHEDULING)
def test_what_the_scheduler_counts_is_said_in_words(message):
    found = said(unscheduled(message, resources={"limits": {"nvidia.com/gpu": "1"}}))
    assert found.sentence == SCHEDULING[message]
    assert found.attention is not found.sentence.startswith("Waits for room")


def node(name, *, cpu="4", memory="16Gi", labels=None, taints=(), unschedulable=False, **devices):
    return {
        "metadata": {"name": name, "labels": labels or {}},
        "spec": {"taints": list(taints), "unschedulable": unschedulable},
        "status": {"allocatable": {"cpu": cpu, "memory": memory, **devices}},
    }


def test_where_nodes_may_be_read_each_is_named_with_what_it_lacks():
    message = "0/4 nodes are available: 1 Insufficient memory, 3 node(s) had untolerated taint(s)."
    nodes = [
        node("a"),
        node("b", memory="128Gi", taints=[{"key": "gpu", "value": "a100", "effect": "NoSchedule"}]),
        node("c", unschedulable=True),
        node("d", memory="128Gi", labels={"disk": "hdd"}),
    ]
    document = unscheduled(message, resources={"requests": {"memory": "64Gi"}}, spec={"nodeName": "", "nodeSelector": {}})
    found = said(document, nodes=nodes[:3])
    assert "a has 16 GiB of memory in all, the step asks for 64 GiB;" in found.sentence
    assert "b has the taint gpu=a100:NoSchedule, which the step does not tolerate" in found.sentence
    assert "c is closed to new pods (cordoned)" in found.sentence
    selecting = unscheduled(message, spec={"nodeName": "", "nodeSelector": {"disk": "nvme"}})
    assert "d has disk=hdd, the step wants disk=nvme" in said(selecting, nodes=nodes).sentence


def test_a_pod_that_no_node_could_ever_take_is_not_said_to_wait_for_room():
    message = "0/1 nodes are available: 1 Insufficient memory. preemption: 0/1 nodes are available: 1 No preemption victims found."
    document = unscheduled(message, resources={"requests": {"memory": "64Gi"}})
    assert said(document).sentence.startswith("Waits for room")
    assert said(document, nodes=[node("a")]).sentence.startswith("Cannot be scheduled: a has 16 GiB of memory in all")


def test_a_toleration_of_everything_makes_taints_no_reason():
    message = "0/1 nodes are available: 1 Insufficient cpu. preemption: 0/1 nodes are available: 1 No preemption victims found."
    tainted = node("a", taints=[{"key": "gpu", "effect": "NoSchedule"}])
    document = unscheduled(
        message, resources={"requests": {"cpu": "2"}}, spec={"nodeName": "", "tolerations": [{"operator": "Exists"}]}
    )
    assert said(document, nodes=[tainted]).sentence == (
        "Waits for room: a has not enough left beside what runs there. It starts when others end."
    )


# --- answers of the API server ------------------------------------------------------------------------------------------

FORBIDDEN = 'pods "a" is forbidden: '
ANSWERS = {
    (403, 'User "system:serviceaccount:a:kfdash" cannot create resource "pods" in API group "" in the namespace "team"'): (
        "Right missing: kfdash (system:serviceaccount:a:kfdash) may not create pods in namespace team."
    ),
    (403, 'nodes is forbidden: User "ann" cannot list resource "nodes" in API group "" at the cluster scope'): (
        "Right missing: kfdash (ann) may not list nodes in the cluster."
    ),
    (
        403,
        FORBIDDEN
        + "exceeded quota: q, requested: pods=1,requests.cpu=2, used: pods=9,requests.cpu=9, limited: pods=9,requests.cpu=10",
    ): (
        "Quota reached: q of the namespace has no room (pods: 1 asked, 9 of 9 used; requests.cpu: 2 asked, 9 of 10 used). "
        "It starts when there is room."
    ),
    (403, FORBIDDEN + "minimum cpu usage per Container is 100m, but request is 50m"): (
        "Limit range: a step may have at least 100m of cpu in this namespace; this one wants 50m."
    ),
    (403, 'admission webhook "policy.example.com" denied the request: images must come from registry.example.com'): (
        "Refused by the cluster's own rules (policy.example.com): images must come from registry.example.com."
    ),
    (400, 'admission webhook "policy.example.com" denied the request without explanation'): (
        "Refused by the cluster's own rules (policy.example.com): it does not say why."
    ),
    (403, FORBIDDEN + "unable to create new content in namespace team because it is being terminated"): (
        "Namespace going away: team is being deleted. Choose another."
    ),
    (401, "Unauthorized"): "Not let in: the cluster does not accept kfdash's credentials (401). Renew those in the kubeconfig.",
    (500, 'Internal error occurred: failed calling webhook "w.example.com": no endpoints available'): (
        "The cluster did not take the pod (500): Internal error occurred: failed calling webhook"
    ),
    (403, FORBIDDEN + "a plugin's own words"): "Refused by the cluster: a plugin's own words.",
}


@pytest.mark.parametrize("answer", ANSWERS)
def test_an_answer_of_the_api_server_is_said_in_words(answer):
    code, message = answer
    assert refusal({"code": code, "message": message}).sentence.startswith(ANSWERS[answer])


def test_missing_rights_and_full_quotas_may_come_right_and_bad_pods_may_not():
    waiting = [message for code, message in ANSWERS if not refusal({"code": code, "message": message}).fails]
    assert [message.partition(":")[0] for message in waiting if "cannot" not in message] == [
        'pods "a" is forbidden',
        "Unauthorized",
        "Internal error occurred",
    ]
    assert sum("cannot" in message for message in waiting) == 2


# --- whatever comes ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"spec": None, "status": None},
        {"status": {"phase": "Failed", "containerStatuses": "no"}},
        {
            "spec": {"containers": [{"name": "main"}]},
            "status": {"containerStatuses": [{"name": "main", "state": {"terminated": {}}}]},
        },
        {"spec": {"containers": [None, 3]}, "status": {"conditions": [None], "initContainerStatuses": [{"restartCount": "x"}]}},
    ],
)
def test_a_document_without_what_it_should_have_does_no_harm(document):
    found = diagnose(document, [{}, {"reason": "Failed"}], [])
    assert found is None or found.sentence
