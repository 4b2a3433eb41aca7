"""Run a program that must not outlive the process that started it.

A bare interpreter executes this script (``python -I -S guardian.py ...``), so it imports nothing of this
package. On Linux it asks the kernel for SIGKILL at its parent's death and then *becomes* the program: the
request survives ``exec``. Where the kernel has no such request (macOS) it stays as the program's parent. It
then watches a pipe whose other end only the starter holds: when that closes, it kills the program.

A program started this way ignores SIGPIPE: ggml-rpc-server writes to sockets whose client is gone, and the
signal would kill it.
"""

import os
import select
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main(arguments: list[str]) -> int:
    """``[--parent=PID] [--nice=N] [--pipe=FD] -- program arguments...``; the program's exit status."""
    end = arguments.index("--")
    options = dict(item.removeprefix("--").split("=", 1) for item in arguments[:end])
    argv = arguments[end + 1 :]
    os.nice(int(options.get("nice", "0")))
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    if "pipe" in options:
        return _watch(int(options["pipe"]), argv)
    _die_with_parent(int(options["parent"]))
    try:
        os.execvp(argv[0], argv)
    except OSError as error:
        print(f"{argv[0]}: {error.strerror}", file=sys.stderr)
        return 127


def _die_with_parent(parent: int) -> None:
    import ctypes

    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
    if os.getppid() != parent:  # it died before the request was made
        os.kill(os.getpid(), signal.SIGKILL)


def _watch(pipe: int, argv: list[str]) -> int:
    child = os.posix_spawnp(argv[0], argv, os.environ)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # the whole group gets it, and so does the program
    exited, exit_writer = os.pipe()
    os.set_blocking(exit_writer, False)
    signal.set_wakeup_fd(exit_writer)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    while True:
        finished, status = os.waitpid(child, os.WNOHANG)
        if finished:
            break
        readable, _, _ = select.select([pipe, exited], [], [])
        if exited in readable:
            os.read(exited, 512)
        if pipe in readable:
            os.killpg(0, signal.SIGKILL)
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
