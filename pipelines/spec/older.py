"""What came before KFP v2: component YAML of v1, made into a pipeline of one step, and v1's Argo workflows, which are refused."""

from __future__ import annotations

from typing import Any

from pipelines.spec.problems import Finding

Json = Any

ARGO_REFUSAL = (
    "This is a KFP v1 package (an Argo Workflow), which cannot be run here. Install `kfp` 2 or later and compile the pipeline's"
    " source again: `kfp dsl compile --py pipeline.py --output pipeline.yaml`."
)


def is_argo(document: dict[str, Json]) -> bool:
    """Whether a document is an Argo Workflow, as KFP v1 compiled them."""
    return str(document.get("apiVersion", "")).startswith("argoproj.io/") and document.get("kind") in ("Workflow", None)


def pipeline_from_component(component: dict[str, Json]) -> tuple[dict[str, Json], list[Finding]]:
    """A v1 component as a PipelineSpec of one step (canonical names), and what is wrong with it in its own places."""
    return {}, [Finding((), "not yet")]
