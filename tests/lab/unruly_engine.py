"""Engines whose rpc-server misbehaves, each a folder for `MESH_LLAMA_DIR`: the real programs, spoilt."""

import shutil
import subprocess
from pathlib import Path

import pytest

from mesh.engine.install.cache import LLAMA_SERVER, RPC_SERVER
from mesh.engine.types import Engine

WORDS = "error: unsupported op 'SSM_SCAN'"
"""What an rpc-server that `aborts_at_graphs` prints last."""
_ABORTS = """\
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int fputs(const char * text, FILE * to) {
    static const char words[] = "%s\\n";
    if (strstr(text, "[graph_compute]") != NULL) {
        (void) !write(2, words, sizeof words - 1);
        abort();
    }
    return text[0] == '[' ? 0 : fwrite(text, 1, strlen(text), to) > 0;
}
"""
"""What the engine logs, it gives to fputs; of each graph it logs only where GGML_RPC_DEBUG is set."""


def aborts_at_graphs(folder: Path, engine: Engine) -> Path:
    """An engine whose rpc-server takes a model's layers, and aborts when it is to compute.

    A confined program may start no other. So a library does it, which takes a C compiler.
    """
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("there is no C compiler")
    folder.mkdir()
    source, library = folder / "unruly.c", folder / "unruly.so"
    source.write_text(_ABORTS % WORDS)
    subprocess.run([compiler, "-shared", "-fPIC", "-fno-builtin", "-o", library, source], check=True)
    return _spoilt(folder, engine, 'export GGML_RPC_DEBUG=1 LD_PRELOAD="${0%/*}/unruly.so"')


def lacks_memory(folder: Path, engine: Engine, kibibytes: int) -> Path:
    """An engine whose rpc-server gets no more memory of its own than that, whatever it offers."""
    folder.mkdir()
    return _spoilt(folder, engine, f"ulimit -d {kibibytes}")


def _spoilt(folder: Path, engine: Engine, first: str) -> Path:
    """The engine, before whose rpc-server a shell does something."""
    shutil.copy(engine.llama_server, folder / LLAMA_SERVER)
    shutil.copy(engine.rpc_server, folder / "real")
    program = folder / RPC_SERVER
    program.write_text(f'#!/bin/sh\n{first}\nexec "${{0%/*}}/real" "$@"\n')
    program.chmod(0o755)
    return folder
