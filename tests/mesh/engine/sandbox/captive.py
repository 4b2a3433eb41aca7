# ruff: noqa: SIM115 (each attempt is one expression)
"""A program that tries to get out of its confinement, by each way that is known; prints what came of each.

``python -IS captive.py '{"victims": {NAME: PID}, ...}'``: the argument names what it must not reach. It uses
raw system calls, as a program would that an attacker has taken over.
"""

import ctypes
import errno
import fcntl
import json
import os
import platform
import resource
import signal
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any

GIVEN = json.loads(sys.argv[1])
FOLDER, SECRET, VICTIMS = GIVEN["folder"], GIVEN["secret"], GIVEN["victims"]
LIBRARY = ctypes.CDLL(None, use_errno=True)
COLUMN = 0 if platform.machine() == "x86_64" else 1
ATTEMPTS: dict[str, Callable[[], Any]] = {}


def call(numbers: tuple[int, int], *arguments: int | bytes | None) -> int:
    given = [ctypes.c_long(one) if isinstance(one, int) else one for one in arguments]
    result = LIBRARY.syscall(ctypes.c_long(numbers[COLUMN]), *given)
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return int(result)


def opened(path: str) -> int:
    return os.open(path, os.O_RDONLY)


# --- files

ATTEMPTS |= {
    "write a file": lambda: open(f"{FOLDER}/new", "w"),
    "write to home": lambda: open(os.path.expanduser("~/.captive"), "w"),
    "read a secret": lambda: open(SECRET).read(),
    "read passwords": lambda: open("/etc/shadow").read(),
    "list keys": lambda: os.listdir("/etc/ssl/private"),
    "list /opt": lambda: os.listdir("/opt"),
    "list home": lambda: os.listdir(os.path.expanduser("~")),
    "list all": lambda: os.listdir("/"),
    "list processes": lambda: os.listdir("/proc"),
    "open a secret again": lambda: opened(f"/proc/self/fd/{os.open(SECRET, os.O_PATH)}"),
    "execute a secret": lambda: os.execv(SECRET, [SECRET]),
    "make a file among its own": lambda: open(f"{GIVEN['writes']}/another", "w"),
    "link a file": lambda: os.link(SECRET, f"{GIVEN['writes']}/link"),
    "rename its file": lambda: os.rename(f"{GIVEN['writes']}/slot-0", f"{GIVEN['writes']}/slot-9"),
    "remove its file": lambda: os.unlink(f"{GIVEN['writes']}/slot-0"),
    "fill its file": lambda: fill(f"{GIVEN['writes']}/slot-0", GIVEN["file_bytes"] + 1),
    "empty a secret": lambda: os.truncate(SECRET, 0),
    "empty what it reads": lambda: os.open(GIVEN["reads"], os.O_RDONLY | os.O_TRUNC),
    "empty a secret that it opens for nothing": lambda: os.open(SECRET, 3 | os.O_TRUNC),
    # metadata
    "change a mode": lambda: os.chmod(SECRET, 0o777),
    "change its own file's mode": lambda: os.chmod(f"{GIVEN['writes']}/slot-0", 0o777),
    "change a mode by descriptor": lambda: os.fchmod(opened(sys.executable), 0o777),
    "change an owner": lambda: os.chown(SECRET, os.getuid(), os.getgid()),
    "change a link's owner": lambda: os.lchown(SECRET, os.getuid(), os.getgid()),
    "change times": lambda: os.utime(SECRET, (1, 1)),
    "set an attribute": lambda: os.setxattr(SECRET, "user.captive", b"x"),
    "remove an attribute": lambda: os.removexattr(SECRET, "user.captive"),
    "watch files": lambda: call((294, 26), 0),
    "lease a file": lambda: fcntl.fcntl(opened(GIVEN["reads"]), 1024, fcntl.F_RDLCK),
    "lock a file": lambda: fcntl.flock(opened(GIVEN["reads"]), fcntl.LOCK_EX),
    "lock a part": lambda: fcntl.lockf(opened(GIVEN["reads"]), fcntl.LOCK_SH),
    "set a file's flags": lambda: fcntl.ioctl(opened(GIVEN["reads"]), 0x40086602, struct.pack("i", 0x40)),
    # of the kernel
    "change a setting": lambda: open("/proc/sys/kernel/core_pattern", "r+"),
    "change the kernel": lambda: open("/sys/kernel/mm/transparent_hugepage/enabled", "r+"),
    "press a key": lambda: open("/proc/sysrq-trigger", "w"),
    "read the network's keys": lambda: open("/proc/sys/net/ipv4/tcp_fastopen_key").read(),
    "list control groups": lambda: os.listdir("/sys/fs/cgroup"),
    "list traces": lambda: os.listdir("/sys/kernel/tracing"),
    "list crashes": lambda: os.listdir("/sys/fs/pstore"),
    "be spared": lambda: open("/proc/self/oom_score_adj", "r+"),
    "change its memory": lambda: open("/proc/self/mem", "r+b"),
    "change its dumps": lambda: open("/proc/self/coredump_filter", "r+"),
    "change its clock": lambda: open("/proc/self/timens_offsets", "r+"),
}


def fill(path: str, size: int) -> int:
    with open(path, "wb", buffering=0) as file:
        written = 0
        while written < size:
            written += file.write(bytes(1 << 16))
    return written


# --- other processes


def against(victim: int) -> dict[str, Callable[[], Any]]:
    """What to try on another process. Nothing of it does harm where it succeeds."""
    of_it = f"/proc/{victim}"
    attempts: dict[str, Callable[[], Any]] = {
        "read its command line": lambda: open(f"{of_it}/cmdline", "rb").read(),
        "read its environment": lambda: open(f"{of_it}/environ", "rb").read(),
        "read its status": lambda: open(f"{of_it}/status", "rb").read(),
        "open its memory": lambda: open(f"{of_it}/mem", "rb"),
        "list its memory": lambda: open(f"{of_it}/maps", "rb").read(),
        "list its files": lambda: os.listdir(f"{of_it}/fd"),
        "open its output": lambda: open(f"{of_it}/fd/1", "wb"),
        "see through its eyes": lambda: os.listdir(f"{of_it}/root"),
        "enter its namespace": lambda: call((308, 268), opened(f"{of_it}/ns/net"), 0),
        "signal": lambda: os.kill(victim, 0),
        "signal its thread": lambda: call((234, 131), victim, victim, 0),
        "signal any thread": lambda: call((200, 130), victim, 0),
        "signal by descriptor": lambda: call((434, 434), victim, 0),
        "queue a signal": lambda: call((129, 138), victim, signal.SIGWINCH, bytes(128)),
        "signal by a descriptor's owner": lambda: fcntl.fcntl(0, fcntl.F_SETOWN, victim),
        "signal by its control": lambda: fcntl.ioctl(socket.socket(), 0x8901, struct.pack("i", victim)),
        "signal by a timer": lambda: call((222, 107), 1, timer_for(victim), bytes(8)),
        "trace": lambda: call((101, 117), 0x4206, victim, 0, 0),
        "read memory": lambda: call((310, 270), victim, None, 0, None, 0, 0),
        "write memory": lambda: call((311, 271), victim, None, 0, None, 0, 0),
        "compare": lambda: call((312, 272), victim, victim, 0, 0, 0),
        "limit": lambda: resource.prlimit(victim, resource.RLIMIT_CPU, (1 << 40, 1 << 40)),
        "look at limits": lambda: resource.prlimit(victim, resource.RLIMIT_CPU),
        "look at its locks": lambda: call((274, 100), victim, bytes(8), bytes(8)),
        "set its priority": lambda: os.setpriority(
            os.PRIO_PROCESS, victim, os.getpriority(os.PRIO_PROCESS, victim)
        ),
        "set its scheduler": lambda: os.sched_setscheduler(victim, os.SCHED_OTHER, os.sched_param(0)),
        "set its disk's priority": lambda: call((251, 30), 1, victim, 0),
        "move its pages": lambda: call((256, 238), victim, 0, None, None),
        "find its pages": lambda: call((279, 239), victim, 0, None, None, None, 0),
    }
    if not GIVEN["device"]:
        attempts["pin to a processor"] = lambda: os.sched_setaffinity(victim, os.sched_getaffinity(victim))
    return attempts


def timer_for(thread: int) -> bytes:
    """A struct sigevent that signals a thread, by SIGEV_THREAD_ID."""
    return struct.pack("@qiii", 0, signal.SIGWINCH, 4, thread).ljust(64, b"\0")


def children() -> list[int]:
    """The broker that was left in its cell."""
    return [int(word) for word in open(f"/proc/self/task/{os.getpid()}/children").read().split()]


for name, process in [*VICTIMS.items(), *(("its broker", child) for child in children())]:
    ATTEMPTS |= {f"{name}: {what}": attempt for what, attempt in against(process).items()}

OWN_NICENESS = os.getpriority(os.PRIO_PROCESS, 0)
ATTEMPTS |= {
    "signal its group": lambda: os.killpg(0, 0),
    "signal everybody": lambda: os.kill(-1, 0),
    "leave its group": lambda: os.setpgid(0, 0),
    "leave its session": os.setsid,
    "outlive its starter": lambda: call((157, 167), 1, 0, 0, 0, 0),
    "set its group's priority": lambda: os.setpriority(os.PRIO_PGRP, 0, OWN_NICENESS),
    "set its group's disk's priority": lambda: call((251, 30), 2, 0, 0),
    "have a processor for itself": lambda: call((157, 167), 62, 1, 0, 0, 0),
    "take a processor": lambda: os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1)),
    "take the disk": lambda: call((251, 30), 1, 0, 1 << 13),
    "take room from pipes": lambda: fcntl.fcntl(os.pipe()[0], 1031, 1 << 18),
    "raise its priority": lambda: os.setpriority(os.PRIO_PROCESS, 0, OWN_NICENESS - 1),
}
if os.getuid():  # where it would succeed, root's kernel threads would be among them
    ATTEMPTS["set all priorities"] = lambda: os.setpriority(os.PRIO_USER, 0, OWN_NICENESS)


# --- processes and namespaces of its own

NEW_USER_AND_NET = 0x10000000 | 0x40000000 | 0x00020000
ATTEMPTS |= {
    "fork": lambda: forked(os.fork),
    "fork by clone": lambda: forked(lambda: call((56, 220), signal.SIGCHLD, 0, 0, 0, 0)),
    "fork as vfork does": lambda: forked(lambda: call((56, 220), 0x4100 | signal.SIGCHLD, 0, 0, 0, 0)),
    "make namespaces": lambda: forked(lambda: call((56, 220), NEW_USER_AND_NET | signal.SIGCHLD, 0, 0, 0, 0)),
    "make namespaces by clone3": lambda: forked(
        lambda: call((435, 435), struct.pack("=8Q", NEW_USER_AND_NET, 0, 0, 0, signal.SIGCHLD, 0, 0, 0), 64)
    ),
    "leave namespaces": lambda: call((272, 97), 0x10000000),
    "enter namespaces": lambda: call((308, 268), opened("/proc/self/ns/net"), 0),
    "change its root": lambda: os.chroot("/usr"),
    "mount": lambda: call((165, 40), b"none", b"/tmp", b"tmpfs", 0, None),
    "become another": lambda: os.setuid(12345) if os.getuid() == 0 else os.setuid(0),
    "become root's group": lambda: os.setgid(0) if os.getgid() else os.setgroups([1]),
}


def forked(fork: Callable[[], int]) -> int:
    process = fork()
    if process == 0:
        os._exit(0)
    os.waitpid(process, 0)
    return process


# --- what would outlive it, and the kernel

ATTEMPTS |= {
    "share memory": lambda: call((29, 194), 0, 1 << 20, 0o1600),
    "use another's semaphores": lambda: call((65, 193), GIVEN["semaphores"], bytes(6), 1),
    "make semaphores": lambda: call((64, 190), 0, 1, 0o1600),
    "make a queue": lambda: call((68, 186), 0, 0o1600),
    "make a named queue": lambda: call((240, 180), b"captive", os.O_CREAT | os.O_RDWR, 0o600, None),
    "keep a key": lambda: call((248, 217), b"user", b"captive", b"x", 1, -3),
    "load a program": lambda: call((321, 280), 0, bytes(64), 64),
    "go around the filter": lambda: call((425, 425), 1, bytes(256)),
    "queue for the disk": lambda: call((206, 0), 1, bytes(8)),
    "handle faults": lambda: call((323, 282), 1),
    "count events": lambda: call((298, 241), bytes(128), 0, -1, -1, 0),
    "read the kernel's log": lambda: call((103, 116), 3, bytes(64), 64),
    "set the clock": lambda: time.clock_settime(time.CLOCK_REALTIME, time.time()),
    "rename the machine": lambda: socket.sethostname(socket.gethostname()),
    "drive ports": lambda: call((173, -1), 0x80, 1, 1),
    "dump core": lambda: resource.setrlimit(resource.RLIMIT_CORE, (1 << 20, 1 << 20)),
    "open more files": lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (4096, 4096)),
    "have more timers": lambda: resource.setrlimit(resource.RLIMIT_SIGPENDING, (1 << 20, 1 << 20)),
}
if not GIVEN["device"]:
    ATTEMPTS["hide memory"] = lambda: os.memfd_create("captive")
    ATTEMPTS["share memory by name"] = lambda: open("/dev/shm/captive", "w")
if GIVEN.get("memory"):
    ATTEMPTS["take more memory"] = lambda: len(bytearray(GIVEN["memory"]))


# --- the network

MACHINE = ("127.0.0.1", GIVEN["open_port"])
ATTEMPTS |= {
    "connect to the machine": lambda: socket.create_connection(MACHINE, 5),
    "connect without a handshake": lambda: socket.socket().sendto(b"x", 0x20000000, MACHINE),
    "speak to a daemon": lambda: socket.socket(socket.AF_UNIX).connect(GIVEN["daemon"]),
    "speak by a pair": lambda: socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)[0].sendto(
        b"x", GIVEN["datagrams"]
    ),
    "list addresses": lambda: fcntl.ioctl(socket.socket(), 0x8912, bytes(16)),
    "send a datagram": lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", MACHINE),
    "send raw": lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, 1),
    "speak by many paths": lambda: socket.socket(socket.AF_INET, socket.SOCK_STREAM, 262),
    "listen elsewhere": lambda: socket.create_server(("127.0.0.1", GIVEN["elsewhere"])),
}
for family in set(range(64)) - {int(socket.AF_INET)}:
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_RAW, socket.SOCK_SEQPACKET):
        ATTEMPTS[f"speak family {family}, kind {int(kind)}"] = partial(socket.socket, family, kind)


# --- what it may do


def serves() -> bool:
    with socket.create_server(("127.0.0.1", GIVEN["port"])) as server:
        return bool(server.getsockname())


ALLOWED: dict[str, Callable[[], Any]] = {
    "serve": serves,
    "read its model": lambda: open(GIVEN["reads"], "rb").read(1),
    "write its file": lambda: open(f"{GIVEN['writes']}/slot-0", "wb").write(b"kv"),
    "know the machine": lambda: open("/proc/cpuinfo").read(1) and os.listdir("/sys/devices/system/cpu"),
    "know the memory": lambda: open("/proc/sys/vm/overcommit_memory").read(1),
    "know itself": lambda: open("/proc/self/status").read(1),
    "throw away": lambda: open("/dev/null", "w").write("x"),
    "start threads": lambda: started(8),
    "talk to itself": socket.socketpair,
    "signal itself": lambda: signal.pthread_kill(threading.get_ident(), 0),
    "limit itself": lambda: resource.prlimit(0, resource.RLIMIT_CPU),
}


def started(count: int) -> int:
    threads = [threading.Thread(target=int) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return count


def outcome(function: Callable[[], Any]) -> str:
    """ "done", or the name of the error."""
    try:
        function()
    except OSError as error:
        return errno.errorcode.get(error.errno or 0, str(error))
    except (ValueError, MemoryError) as error:
        return type(error).__name__
    return "done"


def status(name: str) -> str:
    lines = open("/proc/self/status").read().splitlines()
    return next(line.partition("\t")[2] for line in lines if line.startswith(f"{name}:"))


def descriptors() -> list[int]:
    """What it has open."""
    return [number for number in range(1024) if os.path.lexists(f"/proc/self/fd/{number}")]


TOLD = ("Uid", "Groups", "CapEff", "CapBnd", "NoNewPrivs", "Seccomp")

if __name__ == "__main__":
    print(
        json.dumps(
            {
                "descriptors": descriptors(),
                "allowed": {name: outcome(function) for name, function in ALLOWED.items()},
                "attempts": {name: outcome(function) for name, function in ATTEMPTS.items()},
                "status": {name: status(name) for name in TOLD},
                "variables": sorted(os.environ),
            }
        )
    )
