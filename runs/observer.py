"""Turns what the executor sees into facts for the driver, and ticks: due orders, runs that wait, a resync.

The database is the truth: whatever message was lost, the tick finds the row that should move and moves it. Of several
observers one leads (`runs.leading`): it alone follows the executor and ticks.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from typing import Any

import redis
from django.db import Error as DatabaseError
from django.db.models import Exists, F, OuterRef
from django.utils import timezone

from kfdash import logcontext, metrics, outage, outbox, pulse, trouble
from runs import logs, models, tallying
from runs.engine.model import AttemptProgressed, Fact, Phase, State, TimeCame
from runs.executing import executor
from runs.executors.base import ExecutorUnavailable, FactObserved, LogObserved, Observation
from runs.facts import encode
from runs.leading import Lead
from runs.ordering import key_of

log = logging.getLogger(__name__)

_TICK = 1.0  # seconds
_LET_GO_WITHIN = 3.0  # seconds for giving the lease back in the end
_RESYNC_EVERY = 5  # ticks
_FORGET_EVERY = 5
_WHILE_OTHERS_START = 4  # times the wait until ends are forgotten
_ARTIFACTS_EVERY = 60
_COUNTERS_EVERY = 30
_RULES_EVERY, _OPEN_EVERY = 60, 5  # looks whether rules of retention are due, and whether one is being carried out
_LATE = timedelta(seconds=3)  # after which a message that should have arrived counts as lost
_MOMENT = 0.04  # seconds that news of progress waits
_BATCH = 1000  # rows looked at in one go
_WAKES_AGAIN = timedelta(minutes=1)  # wakes of this age may have been lost with Redis
_PHASES = list(Phase)
_PODS = ("queued", "starting", "running", "collecting", "ended")
_UNFINISHED = (State.PENDING, State.RUNNING, State.CANCELING)
_missed = threading.Event()  # facts may have been missed: what the executor has is looked at with the next tick


def main(stop: threading.Event, lead: Lead) -> None:
    """Observes and ticks until `stop` is set, while it leads."""
    keeper = threading.Thread(target=lead.keep, args=(stop,), name="lease")
    keeper.start()
    while not stop.is_set() and not lead.wait(_TICK):
        pulse.turned()
    _missed.set()
    threading.Thread(target=_observe, args=(stop, lead), name="observe", daemon=True).start()
    ticks = 0
    while not stop.wait(_TICK):
        pulse.turned()
        _guarded(lambda: _say_whether(lead))
        if lead.wait(_TICK):
            _guarded(lambda n=ticks: lead.confirmed() and tick(n, lead.holds))
            ticks += 1
    keeper.join(_LET_GO_WITHIN)


def _say_whether(lead: Lead) -> None:
    pulse.tell(leads=lead.holds())
    metrics.LEADING.set(lead.holds())
    standing = executor().standing()
    for phase in _PODS:
        metrics.PODS.labels(phase).set(standing.phases.get(phase, 0))
    if standing.trouble and lead.holds():
        trouble.met(ExecutorUnavailable(standing.trouble))


def _observe(stop: threading.Event, lead: Lead) -> None:
    gatherer = Gatherer()
    threading.Thread(target=gatherer.flush_for_ever, name="gather", daemon=True).start()
    while not stop.is_set():
        try:
            for batch in executor().observe():
                while not lead.wait(_TICK) and not stop.is_set():
                    pass
                hand_on(batch, gatherer)
        except ExecutorUnavailable as error:
            trouble.met(error)
            log.warning("%s Observing again in a moment.", error)
            stop.wait(1)
        except Exception as error:  # whatever it is: without this thread nothing would be seen until the next look
            trouble.met(error)
            log.error("Observing broke off (%s: %s); it begins again in a moment.", type(error).__name__, error)
            _missed.set()
            stop.wait(1)


class Gatherer:
    """Lets news of progress wait for a moment, because the end of a short step often follows at once.

    A step of ten milliseconds then costs its run one transaction instead of three; nobody can see the difference.
    """

    def __init__(self) -> None:
        self._waiting: dict[str, list[dict[str, Any]]] = {}
        self._changed = threading.Condition()

    def add(self, run_id: str, facts: list[dict[str, Any]], *, urgent: bool) -> None:
        """Takes facts of a run; an urgent one goes at once and takes along what waits."""
        with self._changed:
            waiting = self._waiting.setdefault(run_id, [])
            waiting += facts
            if not urgent:
                self._changed.notify()
                return
            del self._waiting[run_id]
        _hand_over(run_id, waiting)

    def flush(self) -> None:
        """Hands over all that waits."""
        with self._changed:
            waiting, self._waiting = self._waiting, {}
        for run_id, facts in waiting.items():
            _hand_over(run_id, facts)

    def flush_for_ever(self) -> None:
        """Hands over what has waited for its moment."""
        while True:
            with self._changed:
                while not self._waiting:
                    self._changed.wait()
            time.sleep(_MOMENT)
            self.flush()


def hand_on(batch: Sequence[Observation], gatherer: Gatherer | None = None) -> None:
    """Facts to the driver, together by run; lines to those who watch. Without a gatherer everything goes at once."""
    if not batch:  # the executor was joined anew
        _missed.set()
    facts: dict[str, list[dict[str, Any]]] = defaultdict(list)
    urgent = set()
    for observation in batch:
        if isinstance(observation, FactObserved):
            facts[observation.run_id].append(encode(observation.fact))
            if not isinstance(observation.fact, AttemptProgressed):
                urgent.add(observation.run_id)
        elif isinstance(observation, LogObserved):
            logs.append(observation)
    for run_id, mine in facts.items():
        if gatherer is None:
            _hand_over(run_id, mine)
        else:
            gatherer.add(run_id, mine, urgent=run_id in urgent)


def _hand_over(run_id: str, facts: list[dict[str, Any]]) -> None:
    """What Redis does not take is asked for again: the executor keeps it."""
    try:
        with logcontext.about(run=run_id):
            outbox.hand_over(run_id, facts)
    except outbox.NotHandedOver as error:
        trouble.met(error)
        if not _missed.is_set():
            log.warning("%s It is asked for again.", error)
        _missed.set()


def tick(number: int, leads: Callable[[], bool] = lambda: True) -> None:
    """One look at what is due. `number` counts the ticks: some looks are taken only now and then.

    `leads` is asked before each look: one that was held up meanwhile may lead no more.
    """
    with metrics.TICKS.time():
        for look in _looks(number):
            if not leads():
                return
            look()


def _looks(number: int) -> Iterator[Callable[[], None]]:
    if outbox.began_anew():
        yield have_all_looked_over
    if _missed.is_set() or number % _RESYNC_EVERY == 0:
        yield look_at_executor
    yield send_due_orders
    yield lambda: outbox.announce_left(_LATE.total_seconds())
    yield look_at_late_runs
    if number % _FORGET_EVERY == 0:
        yield forget_ended
    if number % _ARTIFACTS_EVERY == _ARTIFACTS_EVERY - 1:
        yield lambda: outbox.enqueue("runs.jobs.look_for_artifacts")
    if number % _COUNTERS_EVERY == _COUNTERS_EVERY - 1 and tallying.has_counters():
        yield lambda: outbox.enqueue("runs.jobs.fold_counters")
    if number % _OPEN_EVERY == 0:
        yield lambda: carry_rules_out(may_be_due=number % _RULES_EVERY == 0)


def carry_rules_out(*, may_be_due: bool) -> None:
    """Has the rules of retention carried out where they may be due, and gone on with where that was begun."""
    begun = models.RetentionPass.objects.filter(finished_at=None).exists()
    begun = begun or models.Leftover.objects.filter(due__lte=timezone.now()).exists()
    if begun or (may_be_due and models.RetentionRule.objects.filter(enabled=True).exists()):
        outbox.enqueue("runs.jobs.carry_rules_out")


def look_at_executor() -> None:
    """Compares rows with what the executor has: at once where facts may have been missed, else what is late."""
    missed = _missed.is_set()
    _missed.clear()
    try:
        resync(timedelta() if missed else _LATE)
        order_again()
        metrics.RESYNC.set_to_current_time()
        pulse.tell(resynced=time.time())
    except Exception:
        _missed.set()
        raise


def have_all_looked_over() -> None:
    """Redis lost what it had, facts and messages: has every run looked over, and sends again what may have been lost."""
    unfinished = models.Run.objects.filter(state__in=_UNFINISHED)
    orders = models.Order.objects.filter(run__in=unfinished)
    orders.filter(kind=models.OrderKind.WAKE, carried_out_at__gte=timezone.now() - _WAKES_AGAIN).update(carried_out_at=None)
    for run_id in unfinished.values_list("pk", flat=True).iterator():
        outbox.hand_over(str(run_id), [])
    send_open_orders()
    _missed.set()


def send_open_orders() -> None:
    """Sends starts and stops that are due and not carried out, however new: their messages are known to be lost."""
    due = models.Order.objects.filter(carried_out_at=None, due__lte=timezone.now()).exclude(kind=models.OrderKind.WAKE)
    if ids := list(due.order_by("due").values_list("pk", flat=True)[:_BATCH]):
        outbox.enqueue("runs.jobs.carry_out", ids)


def order_again() -> None:
    """Importers, and what else needs no executor, whose end was told and never recorded: they are due once more."""
    open_ends = models.Attempt.objects.filter(run=OuterRef("run"), path=OuterRef("path"), number=OuterRef("attempt"))
    carried_out = models.Order.objects.filter(kind=models.OrderKind.START, carried_out_at__lt=timezone.now() - _LATE)
    lost = carried_out.exclude(task_kind="container").filter(Exists(open_ends.exclude(phase=Phase.ENDED)))
    lost.filter(run__state__in=_UNFINISHED).update(carried_out_at=None)


def send_due_orders() -> None:
    """Wakes whom an order to wake names; sends starts and stops again whose message must have been lost."""
    now = timezone.now()
    due = models.Order.objects.filter(carried_out_at=None, due__lte=now).order_by("due")[:_BATCH]
    wakes = [order for order in due if order.kind == models.OrderKind.WAKE]
    for order in wakes:
        outbox.hand_over(str(order.run_id), [encode(TimeCame(order.path))])
    models.Order.objects.filter(pk__in=[order.pk for order in wakes]).update(carried_out_at=now)
    late = [order.pk for order in due if order.kind != models.OrderKind.WAKE and (order.tries or order.due < now - _LATE)]
    if late:
        outbox.enqueue("runs.jobs.carry_out", late)


def look_at_late_runs() -> None:
    """Has runs driven that were launched, or asked to stop, and have not moved."""
    before = timezone.now() - _LATE
    waiting = models.Run.objects.filter(state=State.PENDING, created_at__lt=before, paused=False)
    stopping = models.Run.objects.filter(state=State.RUNNING).exclude(stop="")
    for run_id in (waiting | stopping).values_list("pk", flat=True)[:_BATCH]:
        outbox.hand_over(str(run_id), [])


def resync(late: timedelta = _LATE) -> None:
    """For attempts that were ordered `late` ago: compares rows with what the executor has, and hands on what differs."""
    rows = models.Attempt.objects.exclude(phase=Phase.ENDED).filter(
        run__orders__kind=models.OrderKind.START,
        run__orders__path=F("path"),
        run__orders__attempt=F("number"),
        run__orders__task_kind="container",
        run__orders__carried_out_at__lt=timezone.now() - late,
    )
    known = {}
    for run_id, path, number, phase in rows.values_list("run_id", "path", "number", "phase").distinct()[: _BATCH * 10]:
        known[str(run_id), path, number] = phase
    if not known:
        return
    keys = [key_of(*key) for key in known]
    hand_on([seen for seen in executor().look(keys) if _is_news(seen.fact, known.get(_named(seen), Phase.QUEUED))])


def _named(seen: FactObserved) -> tuple[str, str, int]:
    return seen.run_id, seen.fact.path, seen.fact.number  # type: ignore[union-attr]


def _is_news(fact: Fact, known: str) -> bool:
    """Whether it is an end or a later phase: rows may know more of a phase than an executor sees from outside."""
    return not isinstance(fact, AttemptProgressed) or _PHASES.index(fact.phase) > _PHASES.index(Phase(known))


def forget_ended() -> None:
    """Lets the executor forget attempts of tasks that have ended: until then another attempt may go on from there."""
    finals = [state.value for state in State if state.is_final]
    ended = models.Task.objects.filter(run=OuterRef("run"), path=OuterRef("path"), state__in=finals)
    wait = executor().forget_after
    if wait and models.Attempt.objects.filter(phase__in=(Phase.QUEUED, Phase.STARTING), released=False).exists():
        wait *= _WHILE_OTHERS_START
    before = timezone.now() - timedelta(seconds=wait)
    rows = list(
        models.Attempt.objects.filter(Exists(ended), phase=Phase.ENDED, released=False).exclude(finished_at__gt=before)[:_BATCH]
    )
    if rows:
        executor().forget([key_of(str(row.run_id), row.path, row.number) for row in rows])
        models.Attempt.objects.filter(pk__in=[row.pk for row in rows]).update(released=True)


def _guarded(look: Any) -> None:
    """A tick that fails is told of and tried again: nothing outside may end the observer."""
    try:
        look()
    except (ExecutorUnavailable, DatabaseError, redis.RedisError, outbox.NotHandedOver) as error:
        trouble.met(error)
        log.warning("The tick could not be carried out (%s: %s); it is tried again.", type(error).__name__, error)
        outage.let_go()
        time.sleep(0.5)
