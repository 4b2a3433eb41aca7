"""A copy of the whole process for each repeat: what is costly to build is built once and branched from.

``os.fork`` copies a world with a thousand Nodes in milliseconds, since pages are copied only when they
change. A branch gets random numbers of its own, runs, and returns one picklable value.
"""

from __future__ import annotations

import gc
import os
import pickle
import select
import sys
import traceback
import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

T = TypeVar("T")
A = TypeVar("A")


def in_branch(function: Callable[[], T]) -> T:
    """What the function returns in a copy of this process, which itself stays unchanged."""
    return next(iter(each_in_branch(lambda _: function(), [None])))


def each_in_branch(function: Callable[[A], T], arguments: Iterable[A], jobs: int = 1) -> Iterator[T]:
    """Call the function with each argument in a branch of its own, ``jobs`` at a time; in the order given.

    Raises RuntimeError with the branch's traceback when one fails.
    """
    waiting = iter(arguments)
    running: dict[int, tuple[int, int, list[bytes]]] = {}
    done: dict[int, bytes] = {}
    started = given = 0
    exhausted = False
    gc.freeze()
    try:
        while True:
            while not exhausted and len(running) < jobs:
                try:
                    argument = next(waiting)
                except StopIteration:
                    exhausted = True
                    break
                pipe, child = _start(function, argument)
                running[pipe] = (started, child, [])
                started += 1
            while given in done:
                yield _result(done.pop(given))
                given += 1
            if exhausted and not running:
                return
            _collect(running, done)
    finally:
        gc.unfreeze()
        for pipe, (_, child, _) in running.items():
            os.close(pipe)
            os.kill(child, 9)
            os.waitpid(child, 0)


def _collect(running: dict[int, tuple[int, int, list[bytes]]], done: dict[int, bytes]) -> None:
    """Wait until some branch writes something, and read it."""
    for pipe in select.select(list(running), [], [])[0]:
        number, child, parts = running[pipe]
        part = os.read(pipe, 1 << 20)
        if part:
            parts.append(part)
            continue
        os.close(pipe)
        os.waitpid(child, 0)
        del running[pipe]
        done[number] = b"".join(parts)


def _start(function: Callable[[A], T], argument: A) -> tuple[int, int]:
    sys.stdout.flush()
    reading, writing = os.pipe()
    with warnings.catch_warnings():
        # Python warns when other threads run: a branch of a simulation uses nothing that they might hold.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child:
        os.close(writing)
        return reading, child
    code = 1
    try:
        os.close(reading)
        try:
            answer = pickle.dumps((True, function(argument)))
            code = 0
        except BaseException:
            answer = pickle.dumps((False, traceback.format_exc()))
        with os.fdopen(writing, "wb") as pipe:
            pipe.write(answer)
    finally:
        # Nothing of the parent's (its buffers, its exit handlers, a test's fixtures) may run here too.
        os._exit(code)


def _result(answer: bytes) -> Any:
    if not answer:
        raise RuntimeError("a branch died without a word (was it killed for its memory?)")
    ok, value = pickle.loads(answer)
    if not ok:
        raise RuntimeError(f"a branch failed:\n{value}")
    return value
