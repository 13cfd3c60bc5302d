"""Threads for what blocks: rows, with connections that are kept, and files. The event loop waits for neither."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from django.db import Error as DatabaseError
from django.db import close_old_connections

from runs.intake.wire import Refused

_Arguments = ParamSpec("_Arguments")
_Answer = TypeVar("_Answer")


@functools.cache
def _rows() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(4, thread_name_prefix="rows")


@functools.cache
def _files() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(8, thread_name_prefix="files")


async def with_rows(function: Callable[_Arguments, _Answer], /, *args: _Arguments.args, **kwargs: _Arguments.kwargs) -> _Answer:
    """Calls it in a thread that has a connection to the database. Raises Refused (503) where that does not answer."""

    def call() -> _Answer:
        try:
            return function(*args, **kwargs)
        except DatabaseError:
            close_old_connections()
            raise Refused(503, "kfdash's database does not answer. Try again in a moment.") from None

    return await asyncio.get_running_loop().run_in_executor(_rows(), call)


async def with_files(function: Callable[_Arguments, _Answer], /, *args: _Arguments.args, **kwargs: _Arguments.kwargs) -> _Answer:
    """Calls it in a thread for files and stores."""
    return await asyncio.get_running_loop().run_in_executor(_files(), functools.partial(function, *args, **kwargs))
