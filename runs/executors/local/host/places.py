"""Places for steps: so many run at once. Who waits longest is not always next: runs share the places evenly."""

from __future__ import annotations

import asyncio
from collections import Counter, deque


class Places:
    """Places that runs share: one that gets free goes to the waiting run that has fewest, of those to the one served longest ago.

    Within a run the first to come is the first to be served.
    """

    def __init__(self, count: int) -> None:
        self._free = count
        self._held: Counter[str] = Counter()  # places by run
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}
        self._served: dict[str, int] = {}  # of the runs that wait or hold places: when they last got one
        self._turn = 0

    def locked(self) -> bool:
        """Whether one would have to wait."""
        return self._free <= 0 or bool(self._waiting)

    async def acquire(self, run_id: str) -> None:
        """Waits for a place."""
        if not self.locked():
            self._give(run_id)
            return
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(run_id, deque()).append(place)
        try:
            await place
        except asyncio.CancelledError:
            if place.done() and not place.cancelled():  # it was given one in the same moment
                self.release(run_id)
            else:
                self._leave(run_id, place)
            raise

    def release(self, run_id: str) -> None:
        """Gives a place back, to whoever is next."""
        self._free += 1
        self._held[run_id] -= 1
        if self._held[run_id] <= 0:
            del self._held[run_id]
        if self._waiting:
            chosen = min(self._waiting, key=lambda run: (self._held[run], self._served.get(run, 0)))
            place = self._waiting[chosen].popleft()
            if not self._waiting[chosen]:
                del self._waiting[chosen]
            self._give(chosen)
            place.set_result(None)
        if run_id not in self._held and run_id not in self._waiting:
            self._served.pop(run_id, None)

    def _give(self, run_id: str) -> None:
        self._free -= 1
        self._turn += 1
        self._held[run_id] += 1
        self._served[run_id] = self._turn

    def _leave(self, run_id: str, place: asyncio.Future[None]) -> None:
        queue = self._waiting.get(run_id, deque())
        if place in queue:
            queue.remove(place)
        if not queue:
            self._waiting.pop(run_id, None)
