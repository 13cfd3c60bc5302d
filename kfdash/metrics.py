"""What is counted and measured, in the words of Prometheus (`docs/watch.md` has the table). Labels are few and bounded.

A leaf: knows neither app. What the database and Redis know is asked when somebody reads (`kfdash.system.numbers`).
"""

from __future__ import annotations

from prometheus_client import REGISTRY, Counter, Gauge, Histogram, disable_created_metrics, generate_latest

from kfdash import __version__

_SHORT = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10)  # seconds
_part = [""]

disable_created_metrics()  # a further line for each, of no use to anybody

PART = Gauge("kfdash_part_info", "This process: always 1.", ["part", "version"])
LEADING = Gauge("kfdash_leading", "1 in the observer that leads, 0 in others.")
ERRORS = Counter("kfdash_errors", "What could not be done, by what was in the way (mistake: kfdash's own).", ["part", "kind"])

DRIVES = Histogram("kfdash_drive_seconds", "Time to fold facts into a run, in one transaction.", buckets=_SHORT)
FACTS = Counter("kfdash_facts", "Facts that were folded into runs.", ["fact"])
ORDERS = Counter("kfdash_orders", "Orders carried out, refused for good, or put off.", ["kind", "outcome"])
LAUNCHED = Counter("kfdash_runs_launched", "Runs launched.")
ENDED = Counter("kfdash_runs_ended", "Runs ended, by state.", ["state"])
STEPS = Counter("kfdash_steps_ended", "Steps ended, by state (cached: taken from the cache).", ["state"])

TICKS = Histogram("kfdash_tick_seconds", "Time of one look of the leading observer at what is due.", buckets=_SHORT)
RESYNC = Gauge("kfdash_resync_timestamp_seconds", "When rows were last compared with what the executor has.")
PODS = Gauge("kfdash_pods", "Pods of steps, by phase, as the observer sees them.", ["phase"])

CALLS = Counter("kfdash_intake_requests", "Calls of pods, by status.", ["call", "code"])
CALL_TIMES = Histogram("kfdash_intake_request_seconds", "Time to answer a call of a pod.", ["call"], buckets=_SHORT)
RECEIVED = Counter("kfdash_intake_received_bytes", "Bytes of the bodies that pods sent.", ["call"])

REQUESTS = Counter("kfdash_http_requests", "Requests answered, by the name of their address.", ["view", "method", "status"])
REQUEST_TIMES = Histogram("kfdash_http_request_seconds", "Time to answer a request.", ["view"], buckets=_SHORT)
SOCKETS = Gauge("kfdash_sockets", "WebSockets that are open, by page.", ["page"])
MESSAGES = Counter("kfdash_socket_messages", "Messages sent over WebSockets, by page.", ["page"])


def begin(part: str) -> None:
    """Names this process in what it counts."""
    _part[0] = part
    PART.labels(part, __version__).set(1)


def error(kind: str) -> None:
    """Counts what could not be done: `database`, `redis`, `disk`, `executor`, `mistake`."""
    ERRORS.labels(_part[0] or "command", kind).inc()


def text() -> bytes:
    """All of this process, as Prometheus reads it."""
    return generate_latest(REGISTRY)
