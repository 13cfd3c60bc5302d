"""One attempt, from its order to its result."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import signal
import traceback
from collections.abc import Awaitable, Callable
from typing import Protocol

from runs.engine.model import AttemptProgressed, Fact, Phase, Values
from runs.execution.amounts import seconds, size
from runs.execution.attempt import AttemptOrder
from runs.execution.collect import OutputsInvalid
from runs.execution.ending import Ending, ending
from runs.execution.locations import UnsafeLocation
from runs.execution.placeholders import PlaceholderError
from runs.execution.recipe import EXECUTOR_MODULE, Recipe, recognise
from runs.execution.result import Result, ResultState, to_time
from runs.executors.local.host import collecting, stepenv
from runs.executors.local.host.config import Config
from runs.executors.local.host.environments import Build, BuildFailed, Environment, Environments
from runs.executors.local.host.fetching import FetchFailed, fetch_inputs
from runs.executors.local.host.places import Places
from runs.executors.local.host.pool import CannotStart, Ended, ForkServer, Pool, ServerGone, Step
from runs.executors.local.host.records import NO_ROOM, Record
from runs.executors.local.host.steplog import StepLog, now

_QUIET = 0.03  # seconds a step may run before it is told that it runs: its end tells that too
_PATIENCE = 5.0  # seconds it may wait for a place before that is told
_READ = 256 * 1024


class Surroundings(Protocol):
    """What an attempt needs of the host."""

    config: Config
    pool: Pool
    environments: Environments
    places: Places

    async def warm(self, environment: Environment) -> ForkServer:
        """A server of it that has imported the SDK's executor. Raises CannotStart."""

    def started(self, pid: int) -> None:
        """A step's process runs."""

    def memory_ran_out(self) -> bool:
        """Whether the kernel has ended a process for lack of memory not long ago."""

    def tell(self, attempt: Attempt, fact: Fact) -> None:
        """A fact for those who watch."""

    def tell_lines(self, log: str, first: int, lines: int, block: bytes) -> None:
        """Lines that were stored."""


class Verdict(Exception):
    """The attempt is over, not well: why, a short code, whether another try can mend it, and the result's state."""

    def __init__(self, reason: str, cause: str, retryable: bool = False, state: ResultState = "failed") -> None:
        super().__init__(reason)
        self.reason, self.cause, self.retryable, self.state = reason, cause, retryable, state


class Attempt:
    """An attempt under way. `run` never raises; it returns the result, which is on disk then where the disk takes it."""

    def __init__(self, order: AttemptOrder, record: Record, host: Surroundings) -> None:
        self.order = order
        self.record = record
        self.host = host
        self.phase, self.reason, self.since = Phase.QUEUED, "", now()
        self.times: dict[str, int] = {"queued": self.since}
        self.stopping = False
        self.verdict: Verdict | None = None  # why it is being ended, when it is not the user who asked
        self.step: Step | None = None
        self.session = 0  # of its processes, while they run
        self.prepared: collecting.Prepared | None = None
        config = host.config
        self.log = StepLog(
            config.logs / order.log,
            lambda first, lines, block: host.tell_lines(order.log, first, lines, block),
            most_bytes=config.log_bytes,
            most_lines=config.log_lines,
        )
        self._task: asyncio.Task[None] | None = None
        self._timers: list[asyncio.TimerHandle] = []

    # --- what others ask ---

    def fact(self) -> AttemptProgressed:
        """Where it is now."""
        return AttemptProgressed(self.order.path, self.order.number, self.phase, to_time(self.since), self.reason)

    def stop(self, grace: float) -> None:
        """Ends it because somebody asked; again with less grace while it is ending."""
        if self.phase is Phase.COLLECTING:
            return
        self.stopping = True
        if self.step is None:
            if self._task:
                self._task.cancel()
        else:
            self.end(grace)

    def end(self, grace: float) -> None:
        """Tells its process to end, and makes it after `grace` seconds."""
        step = self.step
        if step is None:
            return
        if grace <= 0:
            step.signal(signal.SIGKILL)
            return
        self.log.say(f"Told to end (SIGTERM); it is ended after {seconds(grace)} if it does not.")
        step.signal(signal.SIGTERM)
        self._later(grace, lambda: step.signal(signal.SIGKILL))

    def shut_down(self) -> None:
        """The host ends: so does it, and it will be started again elsewhere."""
        if self.step is not None:
            self.give_up(Verdict("The host was ended.", "host", state="lost"))
        elif self._task and self.phase is not Phase.COLLECTING:
            self._task.cancel()

    # --- its life ---

    async def run(self) -> Result:
        """From order to result."""
        outputs, ended = Values(), Ending(0)
        peak: int | None = None
        try:
            self._task = asyncio.create_task(self._start())
            if self.stopping:  # asked before it began
                self._task.cancel()
            await self._task
            process = await self._running()
            peak = process.peak
            ended = self._judge(process)
            if not ended.cause:
                outputs = await self._collect()
        except Verdict as verdict:
            self.verdict = verdict
        except asyncio.CancelledError:
            if not self.stopping:  # the host ends
                self.verdict = Verdict("the host was ended", "host", state="lost")
        except ServerGone as error:
            self.verdict = Verdict(str(error), "host", state="lost")
        except Exception as error:  # noqa: BLE001 - one attempt must not take the host with it
            traceback.print_exc()
            self.verdict = Verdict(f"kfdash itself failed: {type(error).__name__}: {error}", "internal", True)
        for timer in self._timers:
            timer.cancel()
        return self._result(ended, outputs, peak)

    async def _start(self) -> None:
        """All that comes before the user's code; leaves `step` behind. Cancelled when it is stopped."""
        order, config = self.order, self.host.config
        try:
            fetched = await fetch_inputs(order, self.record.work / "inputs", config, lambda text: self._enter(Phase.STARTING, text))
            self.prepared = collecting.prepare(order, self.record, config, fetched)
        except (UnsafeLocation, PlaceholderError) as error:
            raise Verdict(str(error), "order") from None
        except FetchFailed as error:
            raise Verdict(str(error), "input", True) from None
        except OSError as error:
            raise Verdict(_disk(error), "disk", True) from None
        if not self.prepared.argv or not self.prepared.argv[0]:
            reason = "it has no command: it would run what its image runs by itself, and the local executor has no image"
            raise Verdict(reason, "no-command")
        recipe = recognise(self.prepared.argv)
        environment = await self._environment(recipe)
        await self._place()
        try:
            collecting.make_folders(self.order, self.prepared, self.record)
            self.step = await self._launch(recipe, environment)
        except OSError as error:
            self.host.places.release(self.order.run_id)
            state: ResultState = "lost" if error.errno in NO_ROOM else "failed"  # its code did not run
            raise Verdict(_disk(error), "disk", True, state) from None
        except BaseException:
            self.host.places.release(self.order.run_id)
            raise

    async def _environment(self, recipe: Recipe) -> Environment:
        """The environment, built first where it is not there."""
        environments = self.host.environments
        environment = environments.ready(recipe.installs)
        if environment:
            return environment
        what = f"installing {recipe.packages}" if recipe.packages else "making an environment"
        build = environments.build(recipe.installs)
        self.log.say(f"Installing {recipe.packages} …" if recipe.packages else "Making an environment …")
        for line in build.lines:
            self.log.say(line)
        build.listeners.append(self.log.say)
        reporter = asyncio.create_task(self._report(what, build))
        try:
            environment = await asyncio.shield(build.task)
        except BuildFailed as error:
            packages = f"The packages {recipe.packages} could not be installed" if recipe.packages else "No environment"
            raise Verdict(f"{packages}: {error}", "environment", True) from None
        finally:
            reporter.cancel()
            build.listeners.remove(self.log.say)
        took = asyncio.get_running_loop().time() - build.began
        self.log.say(f"Installed in {took:.1f} s.")
        return environment

    async def _report(self, what: str, build: Build) -> None:
        """Says that it installs, and for how long."""
        wait = 1.0
        while True:
            took = asyncio.get_running_loop().time() - build.began
            self._enter(Phase.STARTING, f"{what}: {took:.0f} s")
            # Less often the longer it takes and the more wait for it: each time is a fact for the driver.
            await asyncio.sleep(wait * max(1.0, len(build.listeners) / 10))
            wait = min(wait * 1.25, 15.0)

    async def _place(self) -> None:
        """Waits until fewer steps run than may, and its run is next."""
        places = self.host.places
        if places.locked():
            waiting = f"waiting for one of {self.host.config.places} places"
            self._later(_PATIENCE, lambda: self._enter(Phase.QUEUED, waiting))
            self.reason = waiting
        await places.acquire(self.order.run_id)
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()
        self.reason = ""

    async def _launch(self, recipe: Recipe, environment: Environment) -> Step:
        order, config = self.order, self.host.config
        assert self.prepared
        self.times.setdefault("starting", now())
        warm = recipe.source is not None and not stepenv.needs_new_interpreter(order)
        try:
            server = await (self.host.warm(environment) if warm else self.host.pool.plain())
        except CannotStart as error:
            raise Verdict(f"The environment's Python did not start: {error}", "environment") from None
        where = stepenv.folders(self.record)
        env = stepenv.step_environment(order, self.record, environment.bin, os.environ, config.pass_on)
        job: dict[str, object] = {"folder": where["home"], "env": env, "file_limit": config.output_bytes}
        job["process_limit"] = config.most_processes
        if warm:
            job |= {"module": EXECUTOR_MODULE, "source": recipe.source, "args": recipe.args, "python_path": [where["site"]]}
            env["_KFP_RUNTIME"] = "true"
        else:
            job["argv"] = recipe.argv
        pipes = _Pipes(self.log)
        step = server.launch(order.name, job, *pipes.theirs)
        self.pipes = pipes
        pipes.watch()
        return step

    async def _running(self) -> Ended:
        """Until the process has ended and all it printed is stored."""
        step, order = self.step, self.order
        assert step
        self.times["running"] = self.since = now()
        self.phase = Phase.RUNNING
        self._later(_QUIET, lambda: self._tell())
        if order.timeout:
            self._later(order.timeout, self._time_is_up)
        try:
            self.session = await step.pid
            self.host.started(self.session)
            process = await step.ended
        finally:
            self.pipes.drain()
            self.log.finish()
            self.host.places.release(self.order.run_id)
            self.step, self.session = None, 0
        return process

    def _time_is_up(self) -> None:
        assert self.order.timeout
        self.give_up(Verdict(f"took longer than its limit of {seconds(self.order.timeout)}", "timeout", True))

    def give_up(self, verdict: Verdict, grace: float | None = None) -> None:
        """Ends it because it broke a limit; `grace` is the host's where none is given."""
        if self.verdict is None and self.step is not None and not self.stopping:
            self.verdict = verdict
            self.end(self.host.config.grace if grace is None else grace)

    def too_many_processes(self, count: int) -> None:
        """Ends it at once: what multiplies is not asked."""
        limit = self.host.config.most_processes
        reason = f"had {count:,} processes, more than the {limit:,} that a step may have"
        self.give_up(Verdict(reason, "process-limit", True), grace=0)

    def _judge(self, process: Ended) -> Ending:
        assert self.prepared
        # A shell hands on the end of what it ran as 128 + 9.
        killed = process.status & 0x7F == signal.SIGKILL or process.status >> 8 == 128 + signal.SIGKILL
        found = ending(
            process.status,
            program=self.prepared.argv[0],
            last_line=self.log.last_error,
            peak=process.peak,
            memory_killed=killed and self.host.memory_ran_out(),
        )
        if self.stopping:
            return Ending(found.exit_code, found.signal, "", "stopped")
        if self.verdict:
            return Ending(found.exit_code, found.signal, self.verdict.reason, self.verdict.cause)
        return found

    async def _collect(self) -> Values:
        prepared = self.prepared
        assert prepared
        self.phase = Phase.COLLECTING
        self.times["collecting"] = self.since = now()
        self._later(0.5, lambda: self._tell())
        try:
            return await _in_thread_when_slow(prepared, lambda: collecting.gather(self.order, prepared, self.host.config))
        except OutputsInvalid as error:
            raise Verdict(str(error), "outputs", True) from None
        except collecting.OutputTooLarge as error:
            raise Verdict(str(error), "output-limit", True) from None
        except OSError as error:
            raise Verdict(_disk(error), "disk", True) from None

    def _result(self, ended: Ending, outputs: Values, peak: int | None) -> Result:
        self.phase = Phase.ENDED
        state: ResultState = "succeeded"
        reason, cause, retryable = "", "", True
        if self.stopping:
            state = "stopped"
        elif self.verdict:
            verdict = self.verdict
            state, reason, cause, retryable = verdict.state, verdict.reason, verdict.cause, verdict.retryable
        elif ended.cause:
            state, reason, cause = "failed", ended.reason, ended.cause
            retryable = cause != "command-not-found"
        if state == "failed":
            reason = reason[:1].upper() + reason[1:]
        self.log.finish()
        self.times["finished"] = now()
        ran = "running" in self.times
        return Result(
            attempt=self.order.name,
            state=state,
            times=self.times,
            exit_code=ended.exit_code if ran and peak is not None else None,
            signal=ended.signal,
            reason=reason,
            cause=cause,
            retryable=retryable,
            peak_memory=peak,
            outputs=outputs if state == "succeeded" else Values(),
        )

    async def watch_size(self) -> None:
        """Ends it when it has written more than it may."""
        if self.step is None or self.prepared is None:
            return
        limit = self.host.config.output_bytes
        paths = [str(self.record.work), *self.prepared.output_paths]
        if await asyncio.to_thread(collecting.measure, paths) > limit:
            self.give_up(Verdict(f"wrote more than {size(limit)}, the most that a step may", "output-limit", True))

    # --- small things ---

    def _enter(self, phase: Phase, reason: str) -> None:
        self.phase, self.reason, self.since = phase, reason, now()
        self.times.setdefault(str(phase), self.since)
        self._tell()

    def _tell(self) -> None:
        self.host.tell(self, self.fact())

    def _later(self, delay: float, call: Callable[[], None]) -> None:
        self._timers.append(asyncio.get_running_loop().call_later(delay, call))


class _Pipes:
    """The two pipes of a step."""

    def __init__(self, log: StepLog) -> None:
        self._log = log
        out, err = os.pipe(), os.pipe()
        self._ours = {"o": out[0], "e": err[0]}
        self.theirs = (out[1], err[1])
        for descriptor in self._ours.values():
            os.set_blocking(descriptor, False)
            with contextlib.suppress(OSError, AttributeError):
                fcntl.fcntl(descriptor, fcntl.F_SETPIPE_SZ, _READ)

    def watch(self) -> None:
        """Begins to read."""
        loop = asyncio.get_running_loop()
        for stream, descriptor in self._ours.items():
            loop.add_reader(descriptor, self._read, stream)

    def _read(self, stream: str) -> bool:
        """Reads once; returns whether there may be more."""
        try:
            data = os.read(self._ours[stream], _READ)
        except BlockingIOError:
            return False
        except OSError:
            data = b""
        if not data:
            self._close(stream)
            return False
        self._log.feed(stream, data)
        return True

    def drain(self) -> None:
        """The step has ended: takes what is still in the pipes, and waits for nobody who holds one open."""
        for stream in list(self._ours):
            for _ in range(8):
                if not self._read(stream):
                    break
            if stream in self._ours:
                self._close(stream)

    def _close(self, stream: str) -> None:
        descriptor = self._ours.pop(stream)
        asyncio.get_running_loop().remove_reader(descriptor)
        os.close(descriptor)


async def _in_thread_when_slow(prepared: collecting.Prepared, call: Callable[[], Values]) -> Values:
    """Calls at once where only small files are looked at, in a thread where there are artifacts to measure or copy."""
    if not prepared.output_paths:
        return call()
    work: Awaitable[Values] = asyncio.to_thread(call)
    return await work


def _disk(error: OSError) -> str:
    where = f" ({error.filename})" if error.filename else ""
    return f"its files could not be stored: {os.strerror(error.errno or 0)}{where}"
