"""Lists of a million runs, asked: `python -m tests.bench.asking postgresql://user@host/name [--only LIST] [--plans N]`.

The database is one that `tests.bench.million` has filled. Every filter, every sort and deep pages of every list
(`tests.bench.asked`), from this process, one after the other. One JSON line a group: p50 and p95 of what an answer took (ms),
the most statements, and p95 of the processor's time of this process and of the database's together, which says on a busy
machine what a quiet one would take (where the server runs here, and without its parallel workers). Then the slowest, with
the plans of their longest statements.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import logging
import os
import pathlib
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote_plus

BUDGET, STATEMENTS = 150.0, 6  # ms, p95; of one page
_WALKED = 3  # pages after the first that a list's own tokens lead to


@dataclass
class Answer:
    """What one address took: ms of the clock, ms of processors, and its statements as (ms, SQL)."""

    group: str
    address: str
    clock: float = 0.0
    processor: float = 0.0
    statements: list[tuple[float, str]] = field(default_factory=list)


def main() -> int:
    """Asks, prints, and returns 1 where a group is over its budget."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.asking", description=__doc__)
    parser.add_argument("database", help="postgresql://user@host:port/name")
    parser.add_argument("--only", default="", help="a part of a list's name, or `pages`")
    parser.add_argument("--each", type=int, default=1, metavar="N", help="ask each Nth address alone")
    parser.add_argument("--plans", type=int, default=5, help="of so many of the slowest")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="kfdash-asking-") as folder:
        os.environ.update(
            KFDASH_DATABASE_URL=options.database,
            KFDASH_DATA_DIR=folder,
            KFDASH_SECRET_KEY="bench",
            KFDASH_REDIS_URL="redis://127.0.0.1:1",
            DJANGO_SETTINGS_MODULE="kfdash.settings",
        )
        import django  # noqa: PLC0415  # reads the settings from the environment above

        django.setup()
        logging.disable(logging.CRITICAL)
        answers = list(_ask_all(options.only, options.each))
        over = _print_groups(answers)
        _print_slowest(answers, options.plans)
        return int(over)


def _ask_all(only: str, each: int) -> Iterator[Answer]:
    from django.db import connection  # noqa: PLC0415
    from django.test import Client  # noqa: PLC0415

    from tests.bench.asked import asked  # noqa: PLC0415

    client = Client(headers={"host": "127.0.0.1:8000"})
    connection.ensure_connection()
    used = _database_seconds(connection.connection.info.backend_pid)
    seen = set()
    for one in itertools.islice(asked(only), 0, None, each):
        address, pages = one.address, _WALKED if "page_token" in one.address or "sorting" in one.group else 0
        while address and address not in seen:
            seen.add(address)
            headers = {"HX-Request": "true"} if one.htmx else {}
            tries = [_ask(client, connection, used, Answer(one.group, address), headers) for _ in range(2)]
            best = min(tries, key=lambda pair: pair[0].clock)
            yield best[0]
            if best[0].processor > BUDGET or best[0].clock > 10 * BUDGET:
                print(f"{best[0].clock:.0f} ms {unquote_plus(address)[:200]}", file=sys.stderr, flush=True)
            token = best[1].get("next_page_token", "") if pages and isinstance(best[1], dict) else ""
            pages -= 1
            address = f"{address.partition('?')[0]}?page_size=50&page_token={token}" if token else ""


def _ask(client: Any, connection: Any, used: Any, answer: Answer, headers: dict[str, str]) -> tuple[Answer, Any]:
    def note(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        began = time.perf_counter()
        try:
            return execute(sql, params, many, context)
        finally:
            answer.statements.append(
                (time.perf_counter() - began, connection.ops.last_executed_query(context["cursor"], sql, params))
            )

    with connection.execute_wrapper(note):
        mine, theirs, began = time.process_time(), used(), time.perf_counter()
        response = client.get(answer.address, headers=headers)
        answer.clock = (time.perf_counter() - began) * 1000
        answer.processor = (time.process_time() - mine + used() - theirs) * 1000
    assert response.status_code == 200, (answer.address, response.content[:300])
    return answer, response.json() if response["Content-Type"] == "application/json" else None


def _database_seconds(pid: int) -> Any:
    """What tells the seconds of a processor that the server's process has used; always 0 where it runs elsewhere."""
    path = pathlib.Path(f"/proc/{pid}/schedstat")

    def seconds() -> float:
        with contextlib.suppress(OSError):
            return int(path.read_text().split()[0]) / 1e9
        return 0.0

    return seconds


def _print_groups(answers: Sequence[Answer]) -> bool:
    groups: dict[str, list[Answer]] = defaultdict(list)
    for answer in answers:
        groups[answer.group].append(answer)
    over = False
    for name, mine in groups.items():
        most = max(len(answer.statements) for answer in mine)
        p95 = _share([answer.clock for answer in mine], 0.95)
        over = over or p95 > BUDGET or most > STATEMENTS
        told = {
            "name": name,
            "asked": len(mine),
            "p50": round(_share([answer.clock for answer in mine], 0.5), 1),
            "p95": round(p95, 1),
            "budget": BUDGET,
            "over": sum(answer.clock > BUDGET for answer in mine),
            "processor p95": round(_share([answer.processor for answer in mine], 0.95), 1),
            "processor over": sum(answer.processor > BUDGET for answer in mine),
            "statements": most,
        }
        print(json.dumps(told), flush=True)
    return over


def _share(values: Sequence[float], share: float) -> float:
    return sorted(values)[max(0, round(len(values) * share) - 1)]


def _print_slowest(answers: Sequence[Answer], plans: int) -> None:
    from django.db import connection  # noqa: PLC0415

    slowest = sorted(answers, key=lambda answer: answer.processor, reverse=True)
    for place, answer in enumerate(slowest):
        if answer.processor <= BUDGET and len(answer.statements) <= STATEMENTS and place >= plans:
            continue
        longest, sql = max(answer.statements, default=(0.0, ""))
        print(
            f"\n{answer.clock:.0f} ms, of processors {answer.processor:.0f} ms, {len(answer.statements)} statements, "
            f"the longest {longest * 1000:.0f} ms: {answer.group}: {unquote_plus(answer.address)[:300]}"
        )
        if place < plans and sql.startswith("SELECT"):
            with connection.cursor() as cursor:
                cursor.execute("EXPLAIN (ANALYZE, BUFFERS) " + sql.replace("%", "%%"), [])
                print("\n".join(f"    {line}" for (line,) in cursor.fetchall()))


if __name__ == "__main__":
    sys.exit(main())
