"""Loops: the items, the iterations, and how many run at once."""

from __future__ import annotations

import json
from typing import Any

from pipelines.spec import paths, values
from pipelines.spec.model import Iterator
from runs.engine import again
from runs.engine.draft import Draft, Then
from runs.engine.inputs import Unresolved, constants_of, convert, short, with_defaults
from runs.engine.model import ArtifactValue, State, Task, Values
from runs.engine.outputs import loop_outputs

Json = Any


def begin(draft: Draft, loop: Task) -> None:
    """Works out the items and makes all iterations, which begin as the limit allows."""
    place = draft.places[loop.path]
    assert place.task is not None and place.task.iterator is not None
    iterator = place.task.iterator
    inputs = loop.inputs or Values()
    if loop.children:  # retried
        loop = draft.move(loop, State.RUNNING, started_at=draft.now)
        draft.agenda.append((Then.ITERATE, loop.path))
        return
    try:
        count = _count_items(iterator, inputs)
        if count > draft.run.most_iterations:
            raise Unresolved(f"The loop has {count:,} items, and at most {draft.run.most_iterations:,} are allowed.")
    except Unresolved as error:
        draft.fail(loop, str(error), "loop-items")
        return
    if iterator.items_input and not iterator.over_artifacts:
        parsed = {**inputs.parameters, iterator.items_input: _parameter_items(iterator, inputs)}
        loop = draft.change(loop, inputs=Values(parsed, inputs.artifacts))
    loop = draft.move(loop, State.RUNNING, started_at=draft.now, children=count)
    if draft.earlier is not None:
        iterations = [paths.iteration(loop.path, index) for index in range(count)]
        members = place.component.dag.tasks if place.component.dag else ()
        draft.earlier.prefetch([*iterations, *(paths.child(path, key) for path in iterations for key in members)])
    for index in range(count):
        path = paths.iteration(loop.path, index)
        draft.create(Task(path, draft.places[path].kind, created_at=draft.now))
    if count:
        draft.agenda.append((Then.ITERATE, loop.path))
    else:
        came_from = again.came_from(draft, loop, [])
        draft.succeed(loop, loop_outputs(draft, loop, place.component), cached_from=came_from)


def next_iterations(draft: Draft, loop: Task) -> list[Task]:
    """Takes the iterations that may begin now; they count as running."""
    place = draft.places[loop.path]
    limit = place.task.parallelism if place.task else 0
    room = max(0, limit - loop.running) if limit else loop.children
    begun: list[Task] = []
    index = loop.next_iteration
    while index < loop.children and len(begun) < room:
        wanted = [paths.iteration(loop.path, at) for at in range(index, min(loop.children, index + room - len(begun)))]
        draft.prefetch(wanted)
        # After a retry some have succeeded already.
        begun += [task for path in wanted if (task := draft.get(path)).state is State.PENDING]
        index += len(wanted)
    if index != loop.next_iteration:
        draft.change(loop, next_iteration=index, running=loop.running + len(begun))
    return begun


def iteration_inputs(draft: Draft, iteration: Task) -> Values:
    """The loop's inputs without its list, with the one item. Raises Unresolved where the item does not fit."""
    place = draft.places[iteration.path]
    assert place.task is not None and place.task.iterator is not None and place.index is not None
    iterator, component = place.task.iterator, place.component
    inputs = draft.get(place.parent).inputs or Values()
    parameters = {name: value for name, value in inputs.parameters.items() if name != iterator.items_input}
    artifacts = {
        name: value for name, value in inputs.artifacts.items() if not iterator.over_artifacts or name != iterator.items_input
    }
    if iterator.over_artifacts:
        artifacts[iterator.item_input] = [_artifact_items(iterator, inputs)[place.index]]
    else:
        item = _item(draft, iteration.path, iterator, inputs, place.index)
        definition = component.input_parameters.get(iterator.item_input)
        parameters[iterator.item_input] = convert(iterator.item_input, definition, item) if definition else values.normalise(item)
    if component.dag is not None:
        parameters = with_defaults(component, parameters, leave_out=frozenset({iterator.items_input}))
    return Values(parameters, artifacts)


def _count_items(iterator: Iterator, inputs: Values) -> int:
    if iterator.raw is not None:
        return len(iterator.raw)
    return len(_artifact_items(iterator, inputs) if iterator.over_artifacts else _parameter_items(iterator, inputs))


def _item(draft: Draft, path: str, iterator: Iterator, inputs: Values, index: int) -> Json:
    if iterator.raw is None:
        return _parameter_items(iterator, inputs)[index]
    item = iterator.raw[index]
    if not values.has_placeholders(item):
        return item

    def text_of(name: str) -> str | None:
        return values.to_text(inputs.parameters[name]) if name in inputs.parameters else None

    return values.expand(item, constants_of(draft, path), text_of)


def _parameter_items(iterator: Iterator, inputs: Values) -> list[Json]:
    """The list a loop goes over; a string may hold it as JSON. Raises Unresolved."""
    items = inputs.parameters.get(iterator.items_input)
    if isinstance(items, str):
        try:
            items = json.loads(items)
        except ValueError:
            raise Unresolved(f"The loop goes over '{iterator.items_input}', which is no JSON list: {short(items)}.") from None
    if not isinstance(items, list):
        raise Unresolved(
            f"The loop goes over '{iterator.items_input}', which is {values.kind_of(items)} and no list: {short(items)}."
        )
    return items


def _artifact_items(iterator: Iterator, inputs: Values) -> list[ArtifactValue]:
    if iterator.items_input not in inputs.artifacts:
        raise Unresolved(f"The loop goes over the artifacts '{iterator.items_input}', which it was not given.")
    return inputs.artifacts[iterator.items_input]
