"""An engine that computes nothing: programs that start in no time and speak as much as supervision needs.

The rpc-server lists a processor, or answers HELLO and then echoes. The llama-server says HELLO and a word
through every tunnel, waits for its echo, and then answers ``/health`` and ``/slots``, and saves slots of
seven tokens; it fails as long as there is a file ``broken`` beside it, with that file's text.
"""

import sys
from pathlib import Path

from mesh.engine.types import Engine

RPC_SERVER = """\
import socket, sys
if "?" in sys.argv:
    print("  CPU: a processor (1024 MiB, 1024 MiB free)", flush=True)
    sys.exit(1)
host, port = (sys.argv[sys.argv.index(option) + 1] for option in ("-H", "-p"))
server = socket.create_server((host, int(port)))
while True:
    client, _ = server.accept()
    print("Accepted client connection", flush=True)
    try:
        if client.recv(33, socket.MSG_WAITALL):
            client.sendall(bytes([28]) + bytes(7) + bytes([7]) + bytes(27))
        while data := client.recv(65536):
            client.sendall(data)
    except OSError:
        pass
    client.close()
    print("Client connection closed", flush=True)
"""

LLAMA_SERVER = """\
import os, socket, sys
broken = os.path.join(os.path.dirname(sys.argv[0]), "broken")
if os.path.exists(broken):
    print(open(broken).read(), flush=True)
    sys.exit(1)
tunnels = []
if "--rpc" in sys.argv:
    for place in sys.argv[sys.argv.index("--rpc") + 1].split(","):
        host, port = place.split(":")
        tunnel = socket.create_connection((host, int(port)))
        tunnel.sendall(bytes([14, 24]) + bytes(7 + 24) + b"hello")
        tunnel.recv(36, socket.MSG_WAITALL)
        if tunnel.recv(5) != b"hello":
            print("error: the worker does not answer", flush=True)
            sys.exit(1)
        tunnels.append(tunnel)
host, port = (sys.argv[sys.argv.index(option) + 1] for option in ("--host", "--port"))
server = socket.create_server((host, int(port)))
while True:
    client, _ = server.accept()
    asked, answer = client.recv(65536), b"[]"
    if b"?action=save" in asked:
        name = "slot-" + asked.split(b"?")[0].split(b"/")[-1].decode()
        with open(os.path.join(sys.argv[sys.argv.index("--slot-save-path") + 1], name), "wb") as file:
            file.write(b"kv")
        answer = b'{"n_saved": 7, "n_written": 2}'
    client.sendall(b"HTTP/1.0 200 OK\\r\\n\\r\\n" + answer)
    client.close()
"""


def fake_engine(folder: Path) -> Engine:
    """The two programs in ``folder``."""
    folder.mkdir(exist_ok=True)
    paths = folder / "llama-server", folder / "ggml-rpc-server"
    for path, program in zip(paths, (LLAMA_SERVER, RPC_SERVER), strict=True):
        path.write_text(f"#!{sys.executable} -IS\n{program}")
        path.chmod(0o755)
    return Engine(*paths, commit="abc", rpc="7.0.0", backend="cpu", origin="installed")
