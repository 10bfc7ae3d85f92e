"""Run tests against a changed module, each time in a process of its own.

The change is in memory only: the child finds the code of the module before any finder looks for its file.
A child is forked after everything but secdns and its tests is loaded, which saves most of its start. It is
bounded in CPU time, memory and wall time; to exceed one of them counts as a test that failed.
"""

import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import os
import resource
import selectors
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from types import CodeType, ModuleType

import hypothesis
import pytest

EXAMPLES = 25
"""What a property tries; the same ones each time."""

BUSY = 3.0
"""A load average above this leaves one child at a time."""

_PROFILE = "mutation"
_LOADED = (
    "_hypothesis_pytestplugin",
    "cryptography.hazmat.primitives.asymmetric.ec",
    "dns.dnssec",
    "dns.zone",
    "hypothesis.strategies",
    "pytest_asyncio.plugin",
    "pytest_timeout",
)
"""What every child needs: loaded once, before they are forked."""
_MEMORY = 3 << 30  # octets
_WALL = 12  # wall time a child may take, as a multiple of its CPU time: the machine may be busy
_OPTIONS = (
    "-x",
    "-q",
    "-p",
    "no:cacheprovider",
    "-p",
    "no:anyio",
    "-W",
    "ignore::pytest.PytestAssertRewriteWarning",
)
_NEVER_LOADED = 77  # an exit status that pytest does not use


class Unusable(Exception):
    """The tests say nothing about the module."""


@dataclass(frozen=True, slots=True)
class Job:
    """A module in changed form, the file of tests to run, and the CPU seconds that may take."""

    module: str
    code: CodeType
    tests: str
    cpu_s: int


@dataclass(frozen=True, slots=True)
class Run:
    """What became of a job."""

    is_green: bool
    timed_out: bool
    cpu_s: float


class _Loader(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Find one module, in code that is already there."""

    def __init__(self, module: str, code: CodeType) -> None:
        self.module = module
        self.code = code
        self.is_used = False

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname != self.module:
            return None
        return importlib.util.spec_from_loader(fullname, self, origin=self.code.co_filename)

    def exec_module(self, module: ModuleType) -> None:
        self.is_used = True
        exec(self.code, module.__dict__)


def prepare(directory: str) -> None:
    """Set what every child inherits; to be called once, before ``run_all``.

    Compiled tests are kept in ``directory``.
    """
    sys.pycache_prefix = directory
    sys.dont_write_bytecode = False
    for module in _LOADED:
        importlib.import_module(module)
    hypothesis.settings.register_profile(
        _PROFILE,
        max_examples=EXAMPLES,
        derandomize=True,
        database=None,
        deadline=None,
        phases=(hypothesis.Phase.explicit, hypothesis.Phase.generate),  # to fail is enough
        suppress_health_check=[hypothesis.HealthCheck.too_slow],
    )
    os.environ["HYPOTHESIS_PROFILE"] = _PROFILE


def run_all(jobs: Iterable[Callable[[], Job]], at_once: int) -> Iterator[tuple[int, Run]]:
    """Run each job and yield its number and what became of it, as they end.

    No child outlives this, however it ends.

    Raises:
        Unusable: a child was green and never loaded the module.
    """
    waiting = enumerate(jobs)
    running: dict[int, tuple[int, int, float]] = {}  # pidfd -> number, pid, deadline
    selector = selectors.DefaultSelector()
    try:
        while True:
            while len(running) < (1 if running and os.getloadavg()[0] > BUSY else at_once):
                try:
                    number, make = next(waiting)
                except StopIteration:
                    break
                job = make()
                pid = _fork(job)
                fd = os.pidfd_open(pid)
                selector.register(fd, selectors.EVENT_READ)
                running[fd] = number, pid, time.monotonic() + _WALL * job.cpu_s
            if not running:
                return
            left = min(deadline for _, _, deadline in running.values()) - time.monotonic()
            ended = {key.fd for key, _ in selector.select(max(left, 0))}
            late = {fd for fd, (_, _, deadline) in running.items() if deadline <= time.monotonic()}
            for fd in ended | late:
                selector.unregister(fd)
                number, pid, _ = running.pop(fd)
                os.close(fd)
                yield number, _reap(pid)
    finally:
        for fd, (_, pid, _) in running.items():
            os.close(fd)
            _reap(pid)
        selector.close()


def _fork(job: Job) -> int:
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid:
        return pid
    status = 70
    try:
        os.setpgid(0, 0)
        nowhere = os.open(os.devnull, os.O_RDWR)
        for fd in (0, 1, 2):
            os.dup2(nowhere, fd)
        resource.setrlimit(resource.RLIMIT_CPU, (job.cpu_s, job.cpu_s))
        resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
        loader = _Loader(job.module, job.code)
        sys.meta_path.insert(0, loader)
        status = int(pytest.main([*_OPTIONS, job.tests]))
        if status == 0 and not loader.is_used:
            status = _NEVER_LOADED
    finally:
        os._exit(status)


def _reap(pid: int) -> Run:
    """End a child and all that it started, and say what became of it."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)
    _, status, used = os.wait4(pid, 0)
    code = os.waitstatus_to_exitcode(status)
    if code == _NEVER_LOADED:
        raise Unusable("the tests passed and never loaded the module")
    return Run(code == 0, code < 0, used.ru_utime + used.ru_stime)
