"""`mesh doctor`: what this machine has and lacks for a pool, each finding with a hint."""

import os
import shutil
import socket
import sys
from pathlib import Path
from typing import Any, NotRequired, TypedDict

import trio

from mesh.control import paths
from mesh.control.control_client import send
from mesh.control.operations import INFO, STATUS, Status
from mesh.control.sidecar_options import DEFAULT_PORT
from mesh.engine.detect import detect
from mesh.engine.install.cache import cache_dir
from mesh.engine.install.installed import find_present
from mesh.engine.sandbox import control_groups, launcher
from mesh.engine.sandbox.isolation import Isolation, isolation
from mesh.net.discovery.interfaces import local_addresses
from mesh.net.discovery.tailscale import Tailscale, TailscaleError, find_socket
from mesh.runtime.installed_program import with_installed
from mesh.runtime.program_build import build
from mesh.runtime.state import StateDir
from mesh.tools import cell_hints
from mesh.tools.devices_here import devices_here
from mesh.wire.amounts import size_text
from mesh.wire.errors import MeshError
from mesh.wire.identity import id_text
from mesh.wire.versions import SPOKEN
from worker.hardware import measure
from worker.offers import Offers, offers

DISK_WANTED = 2 << 30


class Check(TypedDict):
    check: str
    ok: bool
    detail: str
    hint: str
    note: NotRequired[bool]  # nothing is wrong as yet, but the hint is worth a look


def check(state_dir: Path) -> list[Check]:
    """Check everything that a member needs; takes seconds at most."""
    running = _running(state_dir)
    return [
        _accelerator(),
        _engine(),
        _devices(state_dir, running),
        _sandbox(),
        _isolation(),
        _disk(state_dir),
        _state(state_dir),
        _identity(state_dir),
        _network(),
        _port(state_dir, running),
        _tailnet(state_dir),
        _sidecar(state_dir),
        _program(),
        *_versions(running),
    ]


def _accelerator() -> Check:
    backend = detect()
    return {
        "check": "accelerator",
        "ok": True,
        "detail": f"{backend.kind} {backend.name} ({backend.reason})",
        "hint": "",
    }


def _engine() -> Check:
    backend = detect()
    try:
        engine = trio.run(find_present, backend, cache_dir())
    except MeshError as error:
        return {"check": "engine", "ok": False, "detail": error.message, "hint": error.hint}
    if engine is None:
        return {"check": "engine", "ok": True, "detail": "not there yet: mesh join builds it", "hint": ""}
    detail = f"llama.cpp {engine.commit}, RPC {engine.rpc}, {engine.backend}: {engine.llama_server.parent}"
    return {"check": "engine", "ok": True, "detail": detail, "hint": ""}


def _devices(state_dir: Path, running: Status | None) -> Check:
    """The devices that hold layers, as the engine says, and what each lends or, not joined, would."""
    if lent := _lent(running):
        return {"check": "devices", "ok": True, "detail": "; ".join(lent), "hint": ""}
    found, memory = devices_here(), measure()
    if found is None:
        detail = "the engine will say which there are"
        return {"check": "devices", "ok": True, "detail": detail, "hint": ""}
    try:
        lends = offers(found, memory, _settings(state_dir).get("memory"))
    except MeshError as error:
        return {"check": "devices", "ok": False, "detail": error.message, "hint": error.hint}
    told = [f"{one.name} {one.description} lends {size_text(one.offered)}" for one in lends.lent]
    if Path(paths.process_path(str(state_dir))).exists():
        # What rpc-server and llama-server hold now is not free, though it is lent.
        told, lends = [f"{one.name} {one.description}" for one in found], Offers()
    return {"check": "devices", "ok": True, "detail": "; ".join([*told, *lends.notes]), "hint": ""}


def _lent(running: Status | None) -> list[str]:
    """What the member that runs here lends; nothing where it is in no pool, or lends nothing."""
    own = [] if running is None else [one for one in running["members"] if one["id"] == running["self"]["id"]]
    return [
        f"{device['name']} lends {size_text(device['memory']['offered'])}"
        for member in own
        for device in member["devices"]
    ]


def _running(state_dir: Path) -> Status | None:
    """The status of the member that runs here; None where none does."""
    try:
        return send(str(state_dir), STATUS.request({}))
    except MeshError:
        return None


def _sandbox() -> Check:
    """What keeps whoever takes over an engine from taking over the machine."""
    lacks = launcher.missing()
    if isolation().seatbelt:
        lacks = ["a sandbox that was tried: no Mac has run the profile for sandbox-exec yet"]
    if not lacks:
        detail = "an engine reaches its own files and its accelerator, and nothing else"
        return {"check": "sandbox", "ok": True, "detail": detail, "hint": ""}
    return {
        "check": "sandbox",
        "ok": not launcher.is_open(),
        "detail": "engines run without " + "; without ".join(lacks),
        "hint": "let only whom you trust with this machine lead the pool",
    }


def _isolation() -> Check:
    given = isolation()
    helps = "" if given.cells else cell_hints.hint(cell_hints.look(), os.path.realpath(sys.executable))
    by_group, root = control_groups.place() is not None, os.geteuid() == 0
    return of_isolation(given, sys.platform, helps, by_group=by_group, root=root)


def of_isolation(
    given: Isolation, platform: str, helps: str, *, by_group: bool = False, root: bool = False
) -> Check:
    """Who else reaches the engines' ports, as whom engines run, and what bounds their memory.

    ``helps`` is what gives Linux cells; ``by_group``: a control group can be made; ``root``: it would start
    the engines.
    """
    bounds = "a control group" if by_group else "limits of the process"
    bounded = f"{bounds} and the sidecar's watch bound its memory"
    if given.cells:
        detail = "each engine has a network of its own, which nobody else reaches"
        if given.changes_user:
            detail += ", and a user of its own"
        elif root:
            detail += ", but root's user, without its rights: the owners of files cannot be mapped here"
        return {"check": "isolation", "ok": True, "detail": f"{detail}; {bounded}", "hint": ""}
    if platform == "linux":
        why = given.why_no_cells.rpartition("the sandbox failed: ")[2]
        detail = f"engines have no network of their own ({why}): "
        detail += "other local users can try their ports"
        return {"check": "isolation", "ok": True, "detail": detail, "hint": helps, "note": True}
    detail = "other local users can try rpc-server's port and the tunnels', though not llama-server's socket"
    if given.seatbelt:
        hint = "if an engine does not start, MESH_SEATBELT=off leaves sandbox-exec away"
    else:
        detail += f"; sandbox-exec confines nothing ({given.why_no_cells})"
        hint = "lend this machine, and let it lead, only where you trust its other users and the pool"
    return {"check": "isolation", "ok": True, "detail": detail, "hint": hint, "note": True}


def _disk(state_dir: Path) -> Check:
    place = next(folder for folder in (state_dir, *state_dir.parents) if folder.exists())
    free = shutil.disk_usage(place).free
    return {
        "check": "disk",
        "ok": free > DISK_WANTED,
        "detail": f"{size_text(free)} free at {place}",
        "hint": "the engine's build and model copies need room: free some, or set MESH_CACHE_DIR",
    }


def _state(state_dir: Path) -> Check:
    if not state_dir.exists():
        return {
            "check": "state",
            "ok": True,
            "detail": f"{state_dir}, made at the first mesh join",
            "hint": "",
        }
    try:
        StateDir(state_dir)
    except MeshError as error:
        return {"check": "state", "ok": False, "detail": error.message, "hint": error.hint}
    return {"check": "state", "ok": True, "detail": f"{state_dir}, for this user alone", "hint": ""}


def _settings(state_dir: Path) -> dict[str, Any]:
    """The options of the last `mesh join`; empty where they cannot be read."""
    try:
        return StateDir(state_dir).load("settings") if state_dir.exists() else {}
    except MeshError:
        return {}


def _identity(state_dir: Path) -> Check:
    if not (state_dir / "identity.key").exists():
        return {"check": "identity", "ok": True, "detail": "made at the first mesh join", "hint": ""}
    try:
        identity = StateDir(state_dir).identity()
    except MeshError as error:
        return {"check": "identity", "ok": False, "detail": error.message, "hint": error.hint}
    return {"check": "identity", "ok": True, "detail": f"node {id_text(identity.id)}", "hint": ""}


def _network() -> Check:
    addresses = local_addresses(None)
    return {
        "check": "network",
        "ok": bool(addresses),
        "detail": ", ".join(addresses) if addresses else "no address that others could reach",
        "hint": "connect to a network, or name an address with --bind",
    }


def _port(state_dir: Path, running: Status | None) -> Check:
    port = _settings(state_dir).get("port") or DEFAULT_PORT
    if Path(paths.process_path(str(state_dir))).exists():
        if running is not None:
            port = running["self"]["address"].rpartition(":")[2] or port
        return {"check": "port", "ok": True, "detail": f"{port}, used by this sidecar", "hint": ""}
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind(("0.0.0.0", port))
        except OSError:
            return {
                "check": "port",
                "ok": False,
                "detail": f"{port} is taken",
                "hint": "choose another with --port",
            }
    return {"check": "port", "ok": True, "detail": f"{port} is free", "hint": ""}


def _tailnet(state_dir: Path) -> Check:
    where = find_socket(_settings(state_dir).get("tailscaled_socket"))
    if where is None:
        return {
            "check": "tailnet",
            "ok": True,
            "detail": "no tailscaled here: others join by invite",
            "hint": "",
        }

    async def ask_status() -> str:
        status = await Tailscale(where).status()
        return f"{status.name} of {status.user or ', '.join(status.tags)}, {len(status.peers)} peers"

    try:
        return {"check": "tailnet", "ok": True, "detail": trio.run(ask_status), "hint": ""}
    except TailscaleError as error:
        return {"check": "tailnet", "ok": False, "detail": error.message, "hint": error.hint}


def _sidecar(state_dir: Path) -> Check:
    try:
        info = send(str(state_dir), INFO.request({}))
    except MeshError as error:
        return {"check": "sidecar", "ok": True, "detail": error.message, "hint": error.hint}
    where = "in a pool" if info["joined"] else "in no pool"
    return {"check": "sidecar", "ok": True, "detail": f"process {info['pid']}, {where}", "hint": ""}


def _program() -> Check:
    return {"check": "program", "ok": True, "detail": f"{build()}, speaks wire version {SPOKEN}", "hint": ""}


def _versions(running: Status | None) -> list[Check]:
    """A finding for each problem of the pool's versions; none where this machine is in no pool."""
    if running is None:
        return []
    return [
        {
            "check": "version",
            "ok": problem["code"] != "wire_version",
            "detail": problem["message"],
            "hint": problem["hint"],
            "note": problem["code"] != "wire_version",
        }
        for problem in with_installed(running)["problems"]
    ]
