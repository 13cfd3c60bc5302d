"""How the plan of a run again is drawn: each box of the graph with what its steps will do, and the plan in one sentence."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable

from kfdash.words import counted
from pipelines.drawing.picture import Look, MarkBox, strip_marks
from pipelines.spec import paths
from pipelines.spec.model import PipelineSpec
from runs.engine.plan import Do, Plan, PlannedStep
from runs.models import Run
from runs.tree import step_name

_STATES = {Do.RUN: "PENDING", Do.REUSE: "SUCCEEDED", Do.SKIP: "SKIPPED"}  # whose icons and marks say it


def sentence(plan: Plan) -> str:
    """`3 steps will run, 5 are reused, 1 is skipped.` and for how many that is not sure yet."""
    run, reuse, skip = (plan.counts[do.value] for do in (Do.RUN, Do.REUSE, Do.SKIP))
    parts = [f"{counted(run, 'step')} will run" if run else "No step will run"]
    parts += [f"{reuse:,} {'is' if reuse == 1 else 'are'} reused"] if reuse else []
    parts += [f"{skip:,} {'is' if skip == 1 else 'are'} skipped"] if skip else []
    unsure = sum(not step.sure for step in plan.steps if not step.kind.is_group)
    more = f" {unsure:,} of them may turn out otherwise: that hangs on what comes before." if unsure else ""
    return f"{', '.join(parts)}.{more}"


class PlanLooks:
    """Template paths, as drawings have them, → how the plan's steps there look. A box may stand for many iterations."""

    def __init__(self, spec: PipelineSpec, run: Run, plan: Plan, chosen: Iterable[str]) -> None:
        self.spec, self.number = spec, run.number
        self.chosen = {paths.template(path) for path in chosen}
        self.steps: dict[str, list[PlannedStep]] = defaultdict(list)
        self.iterations: dict[str, list[PlannedStep]] = defaultdict(list)
        for step in plan.steps:
            found = self.iterations if paths.index(step.path) is not None else self.steps
            found[paths.template(step.path)].append(step)

    def of(self, template: str) -> Look:
        """The look of a box."""
        steps = self.steps.get(template) or self._above(template)
        found = Counter(step.do for step in steps)
        do = next((one for one in (Do.RUN, Do.REUSE, Do.SKIP) if found[one]), Do.RUN)
        sure = all(step.sure for step in steps if step.do is do)
        whys = list(dict.fromkeys(step.why for step in steps if step.do is do and step.why))
        iterations = self.iterations.get(template, [])
        return Look(
            path=template,
            state=_STATES[do],
            cached=do is Do.REUSE,
            line=self._line(do, sure, found, steps, iterations),
            said=self._said(steps, whys),
            planned=("run" if sure else "maybe") if do is Do.RUN else "",
            word=_word(do, sure),
            marks=self._marks(iterations) if len(steps) == 1 else (),
            times=len(iterations) or None,
            chosen=template in self.chosen,
        )

    def _above(self, template: str) -> list[PlannedStep]:
        """What is in a group that nothing is known of does as the group."""
        while template := paths.parent(template):
            if template in self.steps:
                return self.steps[template]
        return []

    def _line(self, do: Do, sure: bool, found: Counter[Do], steps: list[PlannedStep], iterations: list[PlannedStep]) -> str:
        parts = Counter(step.do for step in iterations) if iterations else found
        count = sum(parts.values())
        if count > 1 and parts[do] < count:
            return f"{parts[do]} of {count} {'run' if do is Do.RUN else 'are reused'}"
        if do is Do.RUN:
            return "will run" if sure else "will run, or not"
        if do is Do.SKIP:
            return "skipped"
        return "reused, from the cache" if steps and steps[0].why else f"reused, from #{self.number}"

    def _said(self, steps: list[PlannedStep], whys: list[str]) -> str:
        told = " ".join(whys[:2])
        return told + ("" if all(step.sure for step in steps) else " This hangs on what comes out of the steps before.")

    def _marks(self, iterations: list[PlannedStep]) -> list[MarkBox]:
        return strip_marks(
            [
                Look(step.path, _STATES[step.do], cached=step.do is Do.REUSE, said=self._title(step))
                for step in sorted(iterations, key=lambda step: paths.index(step.path) or 0)
            ]
        )

    def _title(self, step: PlannedStep) -> str:
        return f"{step_name(self.spec, step.path)}: {_word(step.do, step.sure)}"


def _word(do: Do, sure: bool) -> str:
    if do is Do.RUN:
        return "will run" if sure else "will run, or not"
    return "reused" if do is Do.REUSE else "skipped"
