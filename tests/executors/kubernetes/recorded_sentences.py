"""What is said of each recorded pod and refusal: what follows, the cause, the sentence."""

from __future__ import annotations

LOST, FAILS, WAITS, TELLS = "lost", "fails", "waits", "tells"

PODS = {
    "bound-memory": (
        LOST,
        "node",
        ("Refused by its node: node-1 had not enough memory left; it asks for 500 GiB, 744 MiB of 23.4 GiB were taken."),
    ),
    "bound-selector": (LOST, "node", "Refused by its node: node-1 does not fit the step's node selector, affinity or tolerations."),
    "claim-missing": (
        WAITS,
        "missing",
        (
            "No such claim: train-data does not exist in namespace team (PersistentVolumeClaim). Create it, and the step "
            "goes on by itself."
        ),
    ),
    "claim-unbound": (
        WAITS,
        "volume",
        ("Waits for a volume: the claim unbound has none yet. Check that its storage class exists and can make one of that size."),
    ),
    "config-map-key-missing": (
        WAITS,
        "missing",
        "No such key: the config map there has no mode. Add it, and the step goes on by itself.",
    ),
    "config-map-missing": (
        WAITS,
        "missing",
        ("No such config map: settings does not exist in namespace team. Create it, and the step goes on by itself."),
    ),
    "config-map-volume-missing": (
        WAITS,
        "missing",
        ("No such config map: files does not exist in namespace team. Create it, and the step goes on by itself."),
    ),
    "csi-driver-missing": (
        WAITS,
        "volume",
        (
            "Volume not mountable: node-1 has no storage driver ebs.csi.example.com, which volume v needs. Install it, or "
            "choose nodes that have it."
        ),
    ),
    "deadline": (FAILS, "timeout", "Ran into its time limit: the pod was ended at its deadline of 4 s."),
    "deleted-pending": (LOST, "deleted", "Pod deleted: somebody deleted deleted-pending before it had begun."),
    "deleted": (LOST, "deleted", "Pod deleted: somebody deleted deleted while it ran."),
    "drained": (LOST, "evicted", "Moved off its node: node-1 is being emptied (drained), and the pod was ended for it."),
    "emptydir-full": (
        FAILS,
        "evicted",
        "Evicted: it wrote more than 4 MiB, the limit of its volume v. Raise the limit or write less.",
    ),
    "entry-missing": (
        FAILS,
        "launcher",
        (
            "Could not begin: kfdash's launcher has not laid its program into the pod. Look at the launcher's log; the "
            "installation's image may be broken."
        ),
    ),
    "ephemeral-full": (
        FAILS,
        "evicted",
        (
            "Evicted: it wrote more than 4 MiB to its container's disk, its limit. Raise the limit of ephemeral-storage or "
            "write less."
        ),
    ),
    "exec-format": (FAILS, "exit-code", "Exit code 1."),
    "exit-3": (FAILS, "exit-code", "Exit code 3."),
    "exit-message": (FAILS, "exit-code", "Exit code 1: ValueError: bad learning rate"),
    "gated": (WAITS, "unschedulable", "Held back: the pod waits for the scheduling gate example.com/approval to be opened."),
    "host-path": (
        WAITS,
        "volume",
        (
            "Volume not mountable: v on node-1: hostPath type check failed: /no/such/folder is not a directory. The cluster "
            "tries again."
        ),
    ),
    "image-name-invalid": (
        FAILS,
        "image",
        ("Image name not valid: 'Team/Model:V 1' (repository name (Model) must be lowercase). Correct the name in the pipeline."),
    ),
    "image-never-pulled": (
        FAILS,
        "image",
        (
            "Image not on the node: python:9.98 is not on node-1, and its pull policy is Never. Load it onto the nodes, or "
            "set the policy to IfNotPresent."
        ),
    ),
    "image-not-found": (FAILS, "image", "Image not found: docker.io has no python:9.99. Check its name and tag."),
    "init-fails": (FAILS, "init-container", "Init container fetch failed with exit code 2; the step did not begin."),
    "init-image-missing": (
        FAILS,
        "image",
        "Image not found: docker.io has no python:9.97 of the init container fetch. Check its name and tag.",
    ),
    "init-waits": (TELLS, "", "Init container fetch is running."),
    "killed": (FAILS, "signal", "Ended by SIGKILL (killed from outside, perhaps for lack of memory)."),
    "launcher-crashes": (
        WAITS,
        "launcher",
        (
            "kfdash's launcher fails in this pod (3 restarts): exit code 1: launcher: cannot reach http://10.0.0.9:8001. "
            "The cluster starts it again."
        ),
    ),
    "launcher-dies-later": (
        WAITS,
        "launcher",
        "kfdash's launcher fails in this pod (3 restarts): exit code 1. The cluster starts it again.",
    ),
    "launcher-hook-fails": (
        WAITS,
        "launcher",
        (
            "kfdash's launcher fails in this pod (3 restarts): its hook could not lay kfdash's program into the pod. Is "
            "python:3.11 the image of this kfdash (KFDASH_IMAGE)?"
        ),
    ),
    "launcher-image-missing": (
        WAITS,
        "launcher",
        (
            "Image not found: docker.io has no kfdash:9.9. Check its name and tag. It is kfdash's own image for the "
            "launcher: set KFDASH_IMAGE to one that the cluster can pull."
        ),
    ),
    "launcher-no-module": (
        WAITS,
        "launcher",
        (
            "kfdash's launcher fails in this pod (3 restarts): No module named 'runs'. Is python:3.11 the image of this "
            "kfdash (KFDASH_IMAGE)?"
        ),
    ),
    "launcher-oom": (
        WAITS,
        "launcher",
        ("kfdash's launcher fails in this pod (3 restarts): out of memory at its limit of 32 MiB. Raise it in the pod template."),
    ),
    "mount-over-file": (
        FAILS,
        "container",
        (
            'Container could not be started: error mounting "v" to rootfs at "/etc/passwd": mount v:/etc/passwd (via '
            "/proc/self/fd/6), flags: 0x5000: not a directory."
        ),
    ),
    "nfs-unreachable": (
        WAITS,
        "volume",
        "Volume not mountable: v on node-1: unknown filesystem type 'nfs'. The cluster tries again.",
    ),
    "resource-template-missing": (
        WAITS,
        "missing",
        "No such resource claim template: none-such does not exist in namespace team. Create it, and the step goes on by itself.",
    ),
    "device-class-missing": (
        WAITS,
        "missing",
        (
            "No such device class: the cluster has no none-such, which a resource claim of the step asks for. Who runs the "
            "cluster can make it, or names another."
        ),
    ),
    "device-driver-missing": (
        WAITS,
        "node",
        (
            "Devices not ready: node1 does not run the device driver gpu.example.com, which the step's resource claims need. It "
            "goes on when the driver does."
        ),
    ),
    "no-device": (
        WAITS,
        "unschedulable",
        (
            "Cannot be scheduled: the only node has no free device for the step's resource claim one-gpu. Wait until such a "
            "device is free, or claim another."
        ),
    ),
    "no-gpu": (
        WAITS,
        "unschedulable",
        (
            "Cannot be scheduled: the only node has not enough nvidia.com/gpu (the step asks for 1). Ask for less, or add a "
            "node that has as much."
        ),
    ),
    "node-affinity": (
        WAITS,
        "unschedulable",
        (
            "Cannot be scheduled: the only node does not match its node affinity zone In eu-1. Label a node, or change the "
            "step's node selector."
        ),
    ),
    "node-gone": (LOST, "node-lost", "Node lost: gpu-node-1 is no more in the cluster, and the pod went with it."),
    "node-selector": (
        WAITS,
        "unschedulable",
        (
            "Cannot be scheduled: the only node does not match its node selector disk=nvme. Label a node, or change the "
            "step's node selector."
        ),
    ),
    "node-unreachable": (LOST, "node-lost", "Node lost: gpu-node-1 does not answer any more, and the cluster gave its pods up."),
    "other-scheduler": (TELLS, "unschedulable", "Waits for the scheduler volcano to choose a node."),
    "out-of-memory": (
        FAILS,
        "out-of-memory",
        "Out of memory: killed at its limit of 48 MiB. Raise the step's memory limit or use less.",
    ),
    "preempted": (LOST, "preempted", "Preempted: the cluster gave its place on node-1 to a pod of higher priority."),
    "program-missing": (
        FAILS,
        "not-found",
        ("Program not found: the image python:3.11 has no train-model. Correct the command, or use another image."),
    ),
    "program-not-executable": (
        FAILS,
        "not-found",
        "Program cannot be run: /etc/passwd is not executable in the image python:3.11, or not for its user.",
    ),
    "pull-secret-missing": (
        FAILS,
        "image",
        (
            "Image not found: docker.io has no python:9.96. Check its name and tag. The image pull secret registry-login "
            "does not exist in namespace team."
        ),
    ),
    "run-as-non-root": (
        FAILS,
        "container",
        (
            "Would run as root: the step must not (runAsNonRoot), and the image python:3.11 has no other user. Set "
            "runAsUser on the step, or USER in the image."
        ),
    ),
    "runtime-missing": (
        WAITS,
        "node",
        (
            "Runtime missing: node-1 has no container runtime 'none', which the runtime class sandboxed asks for. Choose "
            "nodes that have it, or drop the class."
        ),
    ),
    "secret-key-missing": (
        WAITS,
        "missing",
        "No such key: the secret there has no password. Add it, and the step goes on by itself.",
    ),
    "secret-missing": (
        WAITS,
        "missing",
        ("No such secret: db-password does not exist in namespace team. Create it, and the step goes on by itself."),
    ),
    "secret-volume-missing": (
        WAITS,
        "missing",
        ("No such secret: tls-files does not exist in namespace team. Create it, and the step goes on by itself."),
    ),
    "segfault": (FAILS, "signal", "Ended by SIGSEGV (a crash in native code)."),
    "sub-path-missing": (
        WAITS,
        "volume",
        (
            'Volume not mountable: failed to prepare subPath for volumeMount "v" of container "main". Check that the '
            "sub-path exists in the volume and is a folder or file."
        ),
    ),
    "tainted-only": (
        WAITS,
        "unschedulable",
        (
            "Cannot be scheduled: of 2 nodes, 1 does not match its node selector kind=gpu and 1 has a taint that the step "
            "does not tolerate. Label a node, or change the step's node selector; or give the step a toleration."
        ),
    ),
    "tainted": (
        WAITS,
        "unschedulable",
        (
            "Cannot be scheduled: of 2 nodes, 1 has not enough memory (the step asks for 100 GiB) and 1 has a taint that "
            "the step does not tolerate. Ask for less, or add a node that has as much; or give the step a toleration."
        ),
    ),
    "terminated": (FAILS, "signal", "Ended by SIGTERM (it was told to end)."),
    "too-much-cpu": (
        WAITS,
        "unschedulable",
        (
            "Cannot be scheduled: the only node has not enough CPU (the step asks for 64 CPU). Ask for less, or add a node "
            "that has as much."
        ),
    ),
    "too-much-memory": (
        WAITS,
        "unschedulable",
        (
            "Cannot be scheduled: the only node has not enough memory (the step asks for 500 GiB). Ask for less, or add a "
            "node that has as much."
        ),
    ),
    "volume-key-missing": (WAITS, "missing", "No such key: the secret there has no nope. Add it, and the step goes on by itself."),
    "working-dir-a-file": (FAILS, "container", "Container could not be started: mkdir /etc/passwd: not a directory."),
}
REFUSALS = {
    "refused-service-account": (
        FAILS,
        "missing",
        ("No such service account: trainer does not exist in the namespace. Create it, or launch the run with another."),
    ),
    "refused-priority": (FAILS, "missing", "No such priority class: the cluster has no urgent."),
    "refused-runtime-class": (FAILS, "missing", "No such runtime class: the cluster has no gvisor."),
    "refused-invalid-mounts": (
        FAILS,
        "refused",
        (
            'Pod not valid: spec.containers[0].volumeMounts[1].mountPath: Invalid value: "/v": must be unique. Correct the '
            "step's settings or the pod template."
        ),
    ),
    "refused-invalid-quantity": (
        FAILS,
        "refused",
        (
            "Pod not valid: quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'. "
            "Correct the step's settings or the pod template."
        ),
    ),
    "refused-invalid-limits": (
        FAILS,
        "refused",
        (
            'Pod not valid: spec.containers[0].resources.requests: Invalid value: "2Gi": must be less than or equal to '
            "memory limit of 1Gi. Correct the step's settings or the pod template."
        ),
    ),
    "refused-label": (
        FAILS,
        "refused",
        (
            'Pod not valid: metadata.labels: Invalid value: "bad key!": name part must consist of alphanumeric characters, '
            "'-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName', or 'my.name', or "
            "'123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]'). Correct the step's "
            "settings or the pod template."
        ),
    ),
    "refused-namespace": (
        WAITS,
        "missing",
        ("No such namespace: the cluster has no nowhere. Create it, or set KFDASH_POD_NAMESPACE to one that exists."),
    ),
    "refused-field-path": (
        FAILS,
        "refused",
        (
            'Pod not valid: spec.containers[0].env[0].valueFrom.fieldRef.fieldPath: Invalid value: "spec.nonsense": error '
            "converting fieldPath: field label not supported: spec.nonsense. Correct the step's settings or the pod "
            "template."
        ),
    ),
    "refused-env-name": (
        FAILS,
        "refused",
        ("Pod not valid: spec.containers[0].env[0].name: Required value. Correct the step's settings or the pod template."),
    ),
    "refused-pod-security": (
        FAILS,
        "refused",
        (
            "Refused by the namespace: the pod breaks its security standard 'restricted' (allowPrivilegeEscalation != "
            "false, unrestricted capabilities, runAsNonRoot != true, seccompProfile). Set the step's security context, or "
            "use a namespace of another standard."
        ),
    ),
    "refused-quota": (
        WAITS,
        "quota",
        (
            "Quota reached: team of the namespace has no room (requests.memory: 2056 MiB asked, 0 of 1 GiB used). It starts "
            "when there is room."
        ),
    ),
    "refused-quota-unset": (
        FAILS,
        "quota",
        (
            "Quota needs more: team of the namespace wants every step to say requests.memory for: main. Set requests and "
            "limits on the step, or in the pod template."
        ),
    ),
    "refused-limit-range": (
        FAILS,
        "refused",
        "Limit range: a step may have at most 512 MiB of memory in this namespace; this one wants 1 GiB.",
    ),
}
