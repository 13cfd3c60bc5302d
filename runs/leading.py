"""Which of several observers leads: a row that one of them holds, for as long as the database's clock says.

Clocks of processes take no part: how long a lease lasts is reckoned by the database alone, and by the holder with a clock
that only measures spans. The holder reckons from before it asked, so it stops acting before anybody else may begin.
Where the database is away nobody leads, and nothing could be done.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable
from datetime import timedelta

from django.db import Error as DatabaseError
from django.db import connection
from django.db.models import F, Q
from django.db.models.functions import Now

from kfdash import outage
from runs.models import Lease

log = logging.getLogger(__name__)

LASTS = 10.0  # seconds that a lease lasts unless it is renewed


class Lead:
    """This process's part in it. `keep` runs in a thread of its own; `holds` may be asked by any.

    `holder` names this process; it must be of it alone, or of a process that is known to be gone: then the lease is taken
    over without waiting for its end. `lost` is called when another one has taken the lease.
    """

    def __init__(
        self, name: str = "observer", *, holder: str = "", lost: Callable[[], None] | None = None, lasts: float = LASTS
    ) -> None:
        self.name = name
        self.lasts = lasts
        self.holder = holder or f"{socket.gethostname()}/{os.getpid()}/{uuid.uuid4().hex[:8]}"
        self.term = 0
        self._lost = lost
        self._until = 0.0  # of the monotonic clock
        self._ours = threading.Event()

    def holds(self) -> bool:
        """Whether this process leads, as far as is known without asking."""
        return time.monotonic() < self._until

    def confirmed(self) -> bool:
        """Whether it leads, asked of the database. Raises DatabaseError."""
        ours = Lease.objects.filter(name=self.name, holder=self.holder, term=self.term, until__gt=Now())
        return self.holds() and ours.exists()

    def wait(self, seconds: float) -> bool:
        """Waits until this process leads, so long at most; whether it does."""
        return self.holds() or (self._ours.wait(seconds) and self.holds())

    def keep(self, stop: threading.Event) -> None:
        """Takes the lease when it can be had and renews it until `stop` is set; then lets go of it."""
        told = False
        while not stop.is_set():
            try:
                self._take_or_renew()
                told = False
            except DatabaseError as error:
                if not told:
                    log.warning("The lease of %s cannot be looked at (%s); nobody leads until it can.", self.name, error)
                told = True
                outage.let_go()
            if not self.holds():
                self._ours.clear()
            stop.wait(self.lasts / (4 if self.holds() and not told else 10))
        self._let_go()
        connection.close()

    def _take_or_renew(self) -> None:
        until = time.monotonic() + self.lasts * 0.95  # nothing is begun in its last moments
        if self.term and self._renew():
            self._until = until
        elif self.term:
            self._until, self.term = 0.0, 0
            log.warning("%s has lost the lease of %s to another.", self.holder, self.name)
            if self._lost is not None:
                self._lost()
        elif self._take():
            self._until = until
            log.info("%s leads (%s, term %d).", self.holder, self.name, self.term)
        if self.holds():
            self._ours.set()

    def _renew(self) -> bool:
        ours = Lease.objects.filter(name=self.name, holder=self.holder, term=self.term)
        return bool(ours.update(until=Now() + timedelta(seconds=self.lasts)))

    def _take(self) -> bool:
        """Whether it could be had: nobody holds it, its time is over, or its holder was the one before this process."""
        Lease.objects.get_or_create(name=self.name, defaults={"holder": "", "until": Now()})
        free = Lease.objects.filter(Q(holder=self.holder) | Q(holder="") | Q(until__lte=Now()), name=self.name)
        if not free.update(holder=self.holder, term=F("term") + 1, until=Now() + timedelta(seconds=self.lasts)):
            return False
        self.term = Lease.objects.filter(name=self.name, holder=self.holder).values_list("term", flat=True).first() or 0
        return bool(self.term)

    def _let_go(self) -> None:
        """Others need not wait for its end."""
        self._until = 0.0
        self._ours.clear()
        try:
            Lease.objects.filter(name=self.name, holder=self.holder, term=self.term).update(holder="", until=Now())
        except DatabaseError as error:
            log.warning("The lease of %s could not be given back (%s); it ends by itself.", self.name, error)
