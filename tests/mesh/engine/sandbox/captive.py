# ruff: noqa: SIM115 (each attempt is one expression)
"""A program that tries to get out of its confinement, by each way that is known; prints what came of each.

``python -IS captive.py '{"victim": PID, ...}'``: the argument names what it must not reach. It uses raw
system calls, as a program would that an attacker has taken over.
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
from collections.abc import Callable
from typing import Any

GIVEN = json.loads(sys.argv[1])
FOLDER, SECRET, VICTIM = GIVEN["folder"], GIVEN["secret"], GIVEN["victim"]
LIBRARY = ctypes.CDLL(None, use_errno=True)
COLUMN = 0 if platform.machine() == "x86_64" else 1
ATTEMPTS: dict[str, Callable[[], Any]] = {}


def call(numbers: tuple[int, int], *arguments: int | bytes | None) -> int:
    given = [ctypes.c_long(one) if isinstance(one, int) else one for one in arguments]
    result = LIBRARY.syscall(ctypes.c_long(numbers[COLUMN]), *given)
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return int(result)


# --- files

ATTEMPTS |= {
    "write a file": lambda: open(f"{FOLDER}/new", "w"),
    "write to home": lambda: open(os.path.expanduser("~/.captive"), "w"),
    "read a secret": lambda: open(SECRET).read(),
    "read passwords": lambda: open("/etc/shadow").read(),
    "list keys": lambda: os.listdir("/etc/ssl/private"),
    "list /opt": lambda: os.listdir("/opt"),
    "list home": lambda: os.listdir(os.path.expanduser("~")),
    "list processes": lambda: os.listdir("/proc"),
    "read a command line": lambda: open(f"/proc/{VICTIM}/cmdline", "rb").read(),
    "read an environment": lambda: open(f"/proc/{VICTIM}/environ", "rb").read(),
    "read another's memory": lambda: open(f"/proc/{VICTIM}/mem", "rb"),
    "list another's files": lambda: os.listdir(f"/proc/{VICTIM}/fd"),
    "make a file among its own": lambda: open(f"{GIVEN['writes']}/another", "w"),
    "link a file": lambda: os.link(SECRET, f"{GIVEN['writes']}/link"),
    "rename its file": lambda: os.rename(f"{GIVEN['writes']}/slot-0", f"{GIVEN['writes']}/slot-9"),
    "remove its file": lambda: os.unlink(f"{GIVEN['writes']}/slot-0"),
    "fill its file": lambda: fill(f"{GIVEN['writes']}/slot-0", GIVEN["file_bytes"] + 1),
    # metadata
    "change a mode": lambda: os.chmod(SECRET, 0o777),
    "change its own file's mode": lambda: os.chmod(f"{GIVEN['writes']}/slot-0", 0o777),
    "change a mode by descriptor": lambda: os.fchmod(os.open(sys.executable, os.O_RDONLY), 0o777),
    "change an owner": lambda: os.chown(SECRET, os.getuid(), os.getgid()),
    "change a link's owner": lambda: os.lchown(SECRET, os.getuid(), os.getgid()),
    "change times": lambda: os.utime(SECRET, (1, 1)),
    "set an attribute": lambda: os.setxattr(SECRET, "user.captive", b"x"),
    "remove an attribute": lambda: os.removexattr(SECRET, "user.captive"),
    "watch files": lambda: call((294, 26), 0),
    "lease a file": lambda: fcntl.fcntl(os.open(GIVEN["reads"], os.O_RDONLY), 1024, fcntl.F_RDLCK),
}


def fill(path: str, size: int) -> int:
    with open(path, "wb", buffering=0) as file:
        written = 0
        while written < size:
            written += file.write(bytes(1 << 16))
    return written


# --- other processes

ATTEMPTS |= {
    "signal": lambda: os.kill(VICTIM, 0),
    "signal its parent": lambda: os.kill(os.getppid(), 0),
    "signal by descriptor": lambda: call((434, 434), VICTIM, 0),
    "queue a signal": lambda: call((129, 138), VICTIM, signal.SIGUSR1, bytes(128)),
    "signal by a descriptor's owner": lambda: fcntl.fcntl(0, fcntl.F_SETOWN, VICTIM),
    "signal by its control": lambda: fcntl.ioctl(socket.socket(), 0x8901, struct.pack("i", VICTIM)),
    "trace": lambda: call((101, 117), 16, VICTIM, 0, 0),
    "read memory": lambda: call((310, 270), VICTIM, None, 0, None, 0, 0),
    "compare": lambda: call((312, 272), VICTIM, VICTIM, 0, 0, 0),
    "limit": lambda: resource.prlimit(VICTIM, resource.RLIMIT_CPU, (1, 1)),
    "look at limits": lambda: resource.prlimit(VICTIM, resource.RLIMIT_CPU),
    "lower a priority": lambda: os.setpriority(os.PRIO_PROCESS, VICTIM, 19),
    "lower all priorities": lambda: os.setpriority(os.PRIO_USER, os.getuid(), 19),
    "change a scheduler": lambda: os.sched_setscheduler(VICTIM, os.SCHED_IDLE, os.sched_param(0)),
    "move its pages": lambda: call((256, 238), VICTIM, 0, None, None),
    "lower a disk's priority": lambda: call((251, 30), 1, VICTIM, 3 << 13),
}
if not GIVEN["device"]:
    ATTEMPTS["pin to a processor"] = lambda: os.sched_setaffinity(VICTIM, {0})


# --- processes and namespaces of its own

NEW_USER_AND_NET = 0x10000000 | 0x40000000 | 0x00020000
ATTEMPTS |= {
    "fork": lambda: forked(os.fork),
    "fork by clone": lambda: forked(lambda: call((56, 220), signal.SIGCHLD, 0, 0, 0, 0)),
    "make namespaces": lambda: forked(lambda: call((56, 220), NEW_USER_AND_NET | signal.SIGCHLD, 0, 0, 0, 0)),
    "make namespaces by clone3": lambda: forked(
        lambda: call((435, 435), struct.pack("=8Q", NEW_USER_AND_NET, 0, 0, 0, signal.SIGCHLD, 0, 0, 0), 64)
    ),
    "leave namespaces": lambda: call((272, 97), 0x10000000),
    "enter namespaces": lambda: call((308, 268), os.open("/proc/self/ns/net", os.O_RDONLY), 0),
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
    "make semaphores": lambda: call((64, 190), 0, 1, 0o1600),
    "make a queue": lambda: call((68, 186), 0, 0o1600),
    "make a named queue": lambda: call((240, 180), b"captive", os.O_CREAT | os.O_RDWR, 0o600, None),
    "keep a key": lambda: call((248, 217), b"user", b"captive", b"x", 1, -3),
    "load a program": lambda: call((321, 280), 0, bytes(64), 64),
    "go around the filter": lambda: call((425, 425), 1, bytes(256)),
    "count events": lambda: call((298, 241), bytes(128), 0, -1, -1, 0),
    "read the kernel's log": lambda: call((103, 116), 3, bytes(64), 64),
    "dump core": lambda: resource.setrlimit(resource.RLIMIT_CORE, (1 << 20, 1 << 20)),
    "open more files": lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (4096, 4096)),
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
    "send a datagram": lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", MACHINE),
    "send raw": lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, 1),
    "speak IPv6": lambda: socket.socket(socket.AF_INET6),
    "ask the kernel": lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0),
    "listen elsewhere": lambda: socket.create_server(("127.0.0.1", GIVEN["elsewhere"])),
}


# --- what it may do


def serves() -> bool:
    with socket.create_server(("127.0.0.1", GIVEN["port"])) as server:
        return bool(server.getsockname())


ALLOWED: dict[str, Callable[[], Any]] = {
    "serve": serves,
    "read its model": lambda: open(GIVEN["reads"], "rb").read(1),
    "write its file": lambda: open(f"{GIVEN['writes']}/slot-0", "wb").write(b"kv"),
    "know the machine": lambda: open("/proc/cpuinfo").read(1) and os.listdir("/sys"),
    "know itself": lambda: open("/proc/self/status").read(1),
    "throw away": lambda: open("/dev/null", "w").write("x"),
    "start threads": lambda: started(8),
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


TOLD = ("Uid", "Groups", "CapEff", "CapBnd", "NoNewPrivs", "Seccomp")

if __name__ == "__main__":
    print(
        json.dumps(
            {
                "allowed": {name: outcome(function) for name, function in ALLOWED.items()},
                "attempts": {name: outcome(function) for name, function in ATTEMPTS.items()},
                "status": {name: status(name) for name in TOLD},
                "variables": sorted(os.environ),
            }
        )
    )
