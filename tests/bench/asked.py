"""Everything that lists offer, as addresses: filters by each field with each comparison, sorting by each field, deep pages.

Read from the code's own tables of fields, so that one that is added is asked for, too. The values are those of rows at hand:
common ones, rare ones, and some that there are not.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from django.db.models import QuerySet

from kfdash import keyset
from kfdash.wire.filters import Column, Kind, Predicate, condition
from kfdash.wire.listing import Listing, _Order
from pipelines.api.views import PIPELINES, VERSIONS
from pipelines.models import Pipeline, PipelineVersion
from runs import models
from runs.api.cache import CACHE
from runs.api.control import OWN_RUNS
from runs.api.experiments import EXPERIMENTS
from runs.api.inside import ARTIFACTS
from runs.api.runs import RUNS
from runs.services import cache_entries

_ORDERED = ("GREATER_THAN", "GREATER_THAN_EQUALS", "LESS_THAN", "LESS_THAN_EQUALS")
_PAGE = 50


@dataclass(frozen=True)
class Asked:
    """One address; `group` is the figure that it belongs to."""

    group: str
    address: str
    htmx: bool = False


@dataclass(frozen=True)
class _Api:
    """A list of an API: where it is, what it offers, its rows, and texts that are parts of many, of few and of no values."""

    name: str
    address: str
    listing: Listing
    rows: QuerySet[Any]
    parts: Mapping[str, Sequence[str]]


def asked(only: str = "") -> Iterator[Asked]:
    """All that is asked of a database which `tests.bench.million` has filled; `only` is a part of a list's name, or `pages`."""
    for api in _apis():
        if only in api.name:
            yield from _filters(api)
            yield from _sorts(api)
            yield from _both(api)
    if only in "pages":
        yield from _pages()


def _apis() -> list[_Api]:
    own, kfp = "/apis/kfdash/v1", "/apis/v2beta1"
    names = {"name": ("a", "nightly", "fraud-1", "nightly-77777", "nowhere-at-all"), "description": ("e", "week 31", "nowhere")}
    state = {"state": ("CEED", "FAIL", "nowhere"), "storage_state": ("AVAIL", "ARCH", "nowhere")}
    runs, artifacts = models.Run.objects.filter(namespace=""), models.Artifact.objects.filter(namespace="")
    pipeline = Pipeline.objects.order_by("created_at").first()
    assert pipeline is not None
    uploaded = dict.fromkeys(("name", "display_name", "description", "specification_id"), ("a", "fraud", "nowhere"))
    made = {"name": ("o", "model", "nowhere"), "type": ("system", "Data", "nowhere"), "path": ("root", "train", "nowhere")}
    kept = {
        "pipeline_name": ("a", "fraud-1", "nowhere"),
        "fingerprint": ("a", "abcd", "nowhere"),
        "path": ("o", "train", "nowhere"),
    }
    return [
        _Api("runs, KFP's API", f"{kfp}/runs", RUNS, runs, names),
        _Api("runs, own API", f"{own}/runs", OWN_RUNS, runs, names | state),
        _Api("artifacts", f"{own}/artifacts", ARTIFACTS, artifacts, made | {"uri": ("minio", "fraud-1", "nowhere")}),
        _Api("cache", f"{own}/cache", CACHE, cache_entries().order_by(), kept),
        _Api("experiments", f"{kfp}/experiments", EXPERIMENTS, models.Experiment.objects.filter(namespace=""), names),
        _Api("pipelines", f"{kfp}/pipelines", PIPELINES, Pipeline.objects.filter(namespace=""), uploaded),
        _Api(
            "versions",
            f"{kfp}/pipelines/{pipeline.pk}/versions",
            VERSIONS,
            PipelineVersion.objects.filter(pipeline=pipeline).defer("package"),
            uploaded,
        ),
    ]


# --- filters ----------------------------------------------------------------------------------------------------------


def _filters(api: _Api) -> Iterator[Asked]:
    """Each comparison of each field, in the order that is the API's own and newest first."""
    done: set[tuple[str, Kind, bool]] = set()
    for key, column in api.listing.columns.items():
        if (column.source, column.kind, "status" in key) in done:  # another name of the same field
            continue
        done.add((column.source, column.kind, "status" in key))
        for predicate in _predicates(api, key, column):
            for sort in ("", "created_at desc"):
                yield _list(api, "filters", [predicate], sort)
    for key, value in (("team", "a"), ("owner", "ada0"), ("needle", "yes"), ("nowhere", "x")) if api.listing.tagged else ():
        yield _list(api, "filters", [_predicate("EQUALS", f"tags.{key}", value)], "")
        yield _list(api, "filters", [_predicate("EQUALS", f"tags.{key}", value)], "created_at desc")


def _predicates(api: _Api, key: str, column: Column) -> Iterator[dict[str, Any]]:
    if column.kind is Kind.FIXED:
        yield from (_predicate(operation, key, "") for operation in ("EQUALS", "NOT_EQUALS"))
        return
    if column.kind is Kind.WORD:
        words = [word for word, rows in column.words.items() if rows]
        for word in words:
            yield from (_predicate(operation, key, word) for operation in ("EQUALS", "NOT_EQUALS"))
        yield _predicate("IN", key, words[:2])
        yield _predicate("IS_SUBSTRING", key, words[-1][1:4])
        return
    common, other = _values(api, column)
    absent = {Kind.TEXT: "nowhere", Kind.TIME: "2031-01-01T00:00:00Z", Kind.NUMBER: 2**40, Kind.ID: str(uuid.UUID(int=1))}[
        column.kind
    ]
    for value in (common, absent):
        yield from (_predicate(operation, key, value) for operation in ("EQUALS", "NOT_EQUALS"))
    for value in (common, other):
        yield from (_predicate(operation, key, value) for operation in _ORDERED)
    yield _predicate("IN", key, [common, other])
    if column.kind is Kind.TEXT:
        yield from (_predicate("IS_SUBSTRING", key, part) for part in api.parts[column.source])
    if column.kind is Kind.ID:
        yield from (_predicate("IS_SUBSTRING", key, part) for part in ("a", "abc", str(common)[9:23], "f" * 12))


def _values(api: _Api, column: Column) -> tuple[Any, Any]:
    """Two values of a field: from the middle and from near the end."""
    rows = api.rows.exclude(**{f"{column.source}__isnull": True})
    found = [getattr(_middle(rows, share), column.source) for share in (0.5, 0.99)]
    if column.kind is Kind.TIME:
        return found[0].strftime("%Y-%m-%dT%H:%M:%SZ"), found[1].strftime("%Y-%m-%dT%H:%M:%SZ")
    return (found[0], found[1]) if column.kind is Kind.NUMBER else (str(found[0]), str(found[1]))


def _predicate(operation: str, key: str, value: Any) -> dict[str, Any]:
    one = value[0] if isinstance(value, list) else value
    kind = (
        "long_value"
        if isinstance(one, int)
        else "timestamp_value"
        if isinstance(one, str) and one[10:11] == "T"
        else "string_value"
    )
    if isinstance(value, list):
        kind = "string_value" if kind == "timestamp_value" else kind
        return {"operation": operation, "key": key, f"{kind}s": {"values": value}}
    return {"operation": operation, "key": key, kind: value}


def _list(api: _Api, group: str, predicates: Sequence[Mapping[str, Any]], sort: str, token: str = "") -> Asked:
    query: dict[str, Any] = {"page_size": _PAGE}
    if predicates:
        query["filter"] = json.dumps({"predicates": predicates})
    if sort:
        query["sort_by"] = sort
    if token:
        query["page_token"] = token
    return Asked(f"{api.name}: {group}", f"{api.address}?{urlencode(query)}")


# --- sorting and depth ------------------------------------------------------------------------------------------------


def _sorts(api: _Api) -> Iterator[Asked]:
    """Each field in both directions: the first page, one from the middle, one near the end."""
    for key, descending in _orders(api):
        for depth in ("", "middle", "end"):
            token = _token(api, key, descending, depth, ()) if depth else ""
            if token is not None:
                yield _list(api, "sorting, deep pages", [], f"{key} {'desc' if descending else 'asc'}", token)


def _both(api: _Api) -> Iterator[Asked]:
    """Filters of many, few and no rows and combinations of them, sorted by each field; and from the middle."""
    columns = api.listing.columns
    text = next(key for key, column in columns.items() if column.kind is Kind.TEXT)
    parts = api.parts[columns[text].source]
    chosen = [[_predicate("IS_SUBSTRING", text, part)] for part in parts]
    common, _ = _values(api, columns["created_at"])
    chosen.append([_predicate("IS_SUBSTRING", text, parts[1]), _predicate("LESS_THAN", "created_at", common)])
    if "state" in columns:
        chosen += [[_predicate("EQUALS", "state", state)] for state in ("FAILED", "RUNNING", "SUCCEEDED")]
        chosen.append([_predicate("EQUALS", "state", "FAILED"), _predicate("IS_SUBSTRING", text, parts[1])])
        chosen.append([_predicate("EQUALS", "storage_state", "AVAILABLE"), _predicate("NOT_EQUALS", "state", "SUCCEEDED")])
    if api.listing.tagged:
        chosen += [[_predicate("EQUALS", f"tags.{key}", value)] for key, value in (("team", "a"), ("needle", "yes"))]
    for key, descending in _orders(api):
        for predicates in chosen:
            yield _list(api, "filters with sorting", predicates, f"{key} {'desc' if descending else 'asc'}")
    for predicates in chosen:
        kept = tuple(
            Predicate(one["operation"], one["key"], next(value for name, value in one.items() if name.endswith("value")))
            for one in predicates
        )
        if all(predicate.key != "created_at" for predicate in kept) and (token := _token(api, "created_at", True, "middle", kept)):
            yield _list(api, "filters, from the middle", predicates, "created_at desc", token)


def _orders(api: _Api) -> Iterator[tuple[str, bool]]:
    done = set()
    for key, column in api.listing.columns.items():
        if (column.source, column.kind) not in done:
            done.add((column.source, column.kind))
            yield from ((key, descending) for descending in (False, True))


def _token(api: _Api, key: str, descending: bool, depth: str, predicates: tuple[Predicate, ...]) -> str | None:
    """The token of a page in the `middle` or at the `end` of a list, found without skipping rows; None where there is none."""
    order = _Order(key, descending)
    rows = api.rows.filter(condition(predicates, api.listing.columns, tagged=api.listing.tagged))
    if depth == "middle":
        found = rows.filter(created_at__lte=_middle(api.rows).created_at).order_by("-created_at", "-pk")[:1]
    else:
        found = api.listing._ordered(rows, _Order(key, not descending), None)[_PAGE // 2 : _PAGE // 2 + 1]
    keys = [row.pk for row in found]
    if not keys:
        return None
    return api.listing._token(order, predicates, api.listing._ordered(api.rows, order, None).get(pk=keys[0]), 10**6)


def _middle(rows: QuerySet[Any], share: float = 0.5) -> Any:
    """The first row after a share of the time that the rows span."""
    ordered = rows.order_by("created_at", "pk")
    first, last = ordered[0].created_at, ordered.reverse()[0].created_at
    return ordered.filter(created_at__gte=first + (last - first) * share)[0]


# --- pages ------------------------------------------------------------------------------------------------------------

_QUERIES = (
    *("state:failed", "state:active", "state:stopped", "-state:succeeded", "state:failed started:7d", "state:skipped"),
    *("experiment:exp-7", "experiment:nowhere", "-experiment:exp-7", "experiment:Default", "version:1", "version:v2"),
    *("version:nightly", "version:nowhere", "name:nightly-77777", "name:nowhere", "nightly-99999", "77", "-nightly", "train"),
    *("#500000", "a", "zq", "name:a", "tag:team=b", "tag:team", "tag:needle=yes", "tag:needle", "tag:nowhere", "tag:team=nobody"),
    *(
        "-tag:team",
        "-tag:team=a",
        "by:ada",
        "by:ada0",
        "by:nobody",
        "-by:ada",
        "started:today",
        "started:7d",
        "started:<2000-01-01",
    ),
    *("duration:>1h", "duration:<10s", "duration:>100h", "state:failed tag:needle=yes", "tag:team=a experiment:exp-7 by:ada"),
    *("state:failed nowhere", "pipeline:fraud", "pipeline:nowhere", "-pipeline:fraud", "pipeline:fraud state:failed train"),
)


def _pages() -> Iterator[Asked]:
    runs = models.Run.objects.filter(namespace="", storage_state="AVAILABLE")
    oldest, deep = (keyset.key_of(_middle(runs, share)) for share in (0, 0.5))
    ends = [oldest, deep]
    yield Asked("list of runs", "/runs/")
    yield Asked("list of runs", "/runs/?view=archive")
    for key in ends:
        for side in ("after", "before"):
            yield Asked("list of runs", f"/runs/?{side}={key}")
            yield Asked("list of runs", f"/runs/?view=archive&{side}={key}")
    for text in _QUERIES:
        query = urlencode({"q": text})
        for more in ("", "&view=archive", f"&after={deep}", f"&before={deep}"):
            yield Asked("list of runs: every filter", f"/runs/?{query}{more}", htmx=True)
    yield from _other_pages(deep)


def _other_pages(deep: str) -> Iterator[Asked]:
    common = (
        models.Run.objects.exclude(version=None).order_by("created_at").values_list("experiment_key", "version_id", "pipeline_key")
    )
    experiment, version, pipeline = common[common.count() // 2]
    default = models.Experiment.objects.get(name="Default").pk
    newest = models.Run.objects.filter(state="FAILED").order_by("-created_at").values_list("pk", flat=True)[0]
    artifact = models.Artifact.objects.order_by("-pk").values_list("pk", flat=True)[0]
    entry = models.CacheEntry.objects.order_by("-created_at", "-id")[:200][199]
    yield Asked("home", "/")
    for words in ("", "nightly", "nightly-77777", "nowhere", "#77777", "77777", "a", "exp-7", "fraud"):
        yield Asked("jump", f"/jump/?{urlencode({'q': words})}")
    for key in (experiment, default):
        for query in ("", f"?after={deep}", "?q=state:failed", "?q=nightly", "?q=nowhere", "?q=tag:team%3Da", "?view=archive"):
            yield Asked("an experiment's page", f"/experiments/{key}/{query}")
    for query in ("?view=runs", f"?view=runs&after={deep}", "?view=runs&q=state:failed", "?view=runs&q=nowhere", ""):
        yield Asked("a version's page", f"/pipelines/{pipeline}/versions/{version}/{query}")
    yield Asked("other lists", "/experiments/")
    yield Asked("other lists", "/experiments/?q=exp-7")
    yield Asked("other lists", "/pipelines/")
    yield Asked("other lists", "/pipelines/?q=tag:team%3Da")
    yield Asked("other lists", "/pipelines/?q=fraud")
    for query in (
        "",
        "?q=fraud",
        "?q=train",
        "?q=nowhere",
        "?q=%23900000",
        "?q=nightly",
        f"?after={keyset.key_of(entry)}",
        "?pipeline=fraud-1",
    ):
        yield Asked("cache page", f"/cache/{query}")
    yield Asked("cache page", "/cache/evict/")
    yield Asked("cache page", "/cache/evict/?days=30")
    yield Asked("cache page", "/apis/kfdash/v1/cache:summary")
    yield Asked("a run's page", f"/runs/{newest}/")
    yield Asked("a run's page", f"/artifacts/{artifact}/")
    yield Asked("a run's page", f"/runs/{newest}/delete/")
