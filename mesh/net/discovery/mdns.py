"""Pools on the local network, announced and found by multicast DNS (RFC 6762, 6763).

zeroconf runs a thread of its own. It hands over the names that it finds; this module resolves them and hands
them out. Discovery is a help, never a need: where multicast does not work, ``reason`` says why, and
everything else continues.
"""

import logging
import re
import socket
from collections.abc import Sequence

import trio
import zeroconf

from mesh.net.addresses import family_of
from mesh.net.discovery.discovery_source import Sighting
from mesh.wire.endpoint import Endpoint
from mesh.wire.errors import MeshError
from mesh.wire.identity import parse_id
from mesh.wire.versions import SPOKEN, Versions

log = logging.getLogger(__name__)

SERVICE_TYPE = "_mesh-pool._udp.local."
"""A service's name has at most 15 characters (RFC 6335)."""

MAX_PENDING = 128
MAX_SIGHTINGS = 64
MAX_ENDPOINTS = 8

_RESOLVE_SECONDS = 1.5
_CLOSE_SECONDS = 3.0
_FAILURES = (OSError, RuntimeError, zeroconf.Error)


class Mdns:
    """Announces this node and watches for others on the networks of ``addresses``."""

    def __init__(self, addresses: Sequence[str]) -> None:
        v4 = [address for address in addresses if family_of(address) == socket.AF_INET]
        self._addresses = v4 or list(addresses)
        self._version = zeroconf.IPVersion.V4Only if v4 else zeroconf.IPVersion.V6Only
        self._zeroconf: zeroconf.Zeroconf | None = None
        self._browser: zeroconf.ServiceBrowser | None = None
        self._announced: zeroconf.ServiceInfo | None = None
        self._changing = trio.Lock()
        self._names, self._seen_names = trio.open_memory_channel[str](MAX_PENDING)
        self._out, self.sightings = trio.open_memory_channel[Sighting](MAX_SIGHTINGS)
        self.reason = ""
        """Why multicast DNS does not work here; empty while it does."""

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Watch until cancelled, then take the announcement back. Never raises for want of a network."""
        token = trio.lowlevel.current_trio_token()
        try:
            await trio.to_thread.run_sync(self._start, token)
        except _FAILURES as error:
            self.reason = f"multicast DNS does not work here: {error or type(error).__name__}"
            log.warning("%s", self.reason)
        try:
            task_status.started()
            async with trio.open_nursery() as nursery:
                for _ in range(4):
                    nursery.start_soon(self._resolve_all)
        finally:
            with trio.move_on_after(_CLOSE_SECONDS, shield=True):
                await trio.to_thread.run_sync(self._stop, abandon_on_cancel=True)

    async def announce(self, pool: str, node: str, port: int, name: str, addresses: Sequence[str]) -> None:
        """Announce ``node`` of ``pool`` at ``addresses``; this replaces an earlier announcement."""
        info = zeroconf.ServiceInfo(
            SERVICE_TYPE,
            f"{node}.{SERVICE_TYPE}",
            port=port,
            properties={"pool": pool, "node": node, "name": name[:63], "version": version_text(SPOKEN)},
            server=f"{node}.local.",
            parsed_addresses=[address.partition("%")[0] for address in addresses[:MAX_ENDPOINTS]],
        )
        async with self._changing:
            await self._change(info)

    async def withdraw(self) -> None:
        """Take the announcement back."""
        async with self._changing:
            await self._change(None)

    async def _change(self, info: zeroconf.ServiceInfo | None) -> None:
        running, old = self._zeroconf, self._announced
        if running is None:
            return

        def change() -> None:
            if old is not None and (info is None or info.key != old.key):
                running.unregister_service(old)
            if info is not None and (old is None or info.key != old.key):
                # The name holds a node's id, so no other node has it: no need to probe for a second one.
                running.register_service(info, cooperating_responders=True)
            elif info is not None:
                running.update_service(info)

        try:
            await trio.to_thread.run_sync(change)
            self._announced = info
        except _FAILURES as error:
            self.reason = f"the pool cannot be announced: {error or type(error).__name__}"
            log.warning("%s", self.reason)

    def _start(self, token: trio.lowlevel.TrioToken) -> None:
        if not self._addresses:
            raise OSError("no network interface is up")
        self._zeroconf = zeroconf.Zeroconf(self._addresses, ip_version=self._version)

        def changed(
            zeroconf: zeroconf.Zeroconf,
            service_type: str,
            name: str,
            state_change: zeroconf.ServiceStateChange,
        ) -> None:
            try:
                token.run_sync_soon(self._note, name, state_change)
            except trio.RunFinishedError:
                log.debug("a pool was seen too late")

        self._browser = zeroconf.ServiceBrowser(self._zeroconf, SERVICE_TYPE, handlers=[changed])

    def _stop(self) -> None:
        running, self._zeroconf = self._zeroconf, None
        if running is not None:
            running.close()

    def _note(self, name: str, change: zeroconf.ServiceStateChange) -> None:
        own = self._announced is not None and self._announced.name == name
        if change is zeroconf.ServiceStateChange.Removed or own:
            return
        try:
            self._names.send_nowait(name)
        except trio.WouldBlock:
            log.debug("too many pools are seen at once")

    async def _resolve_all(self) -> None:
        while True:
            name = await self._seen_names.receive()
            running = self._zeroconf
            if running is None:
                continue
            try:
                info = await trio.to_thread.run_sync(
                    running.get_service_info,
                    SERVICE_TYPE,
                    name,
                    int(_RESOLVE_SECONDS * 1000),
                    abandon_on_cancel=True,
                )
            except _FAILURES as error:
                log.debug("a pool was seen but not resolved: %s", error)
                continue
            sighting = None if info is None else read_announcement(info)
            if sighting is not None:
                try:
                    self._out.send_nowait(sighting)
                except trio.WouldBlock:
                    log.debug("a sighting was dropped")


def read_announcement(info: zeroconf.ServiceInfo) -> Sighting | None:
    """What an announcement says; None if it is not one of a pool, whatever it holds."""
    texts = {}
    for key in (b"pool", b"node", b"name", b"version"):
        value = info.properties.get(key)
        texts[key] = (value or b"").decode("utf-8", "replace")[:63]
    try:
        parse_id(texts[b"pool"])
        parse_id(texts[b"node"])
    except MeshError:
        return None
    hosts = info.parsed_scoped_addresses()[:MAX_ENDPOINTS]
    if not info.port or not hosts:
        return None
    endpoints = tuple(Endpoint(host, info.port) for host in hosts)
    return Sighting(
        texts[b"pool"], texts[b"node"], texts[b"name"], versions_in_text(texts[b"version"]), endpoints
    )


def version_text(speaks: Versions) -> str:
    """What an announcement says of the wire versions that a node speaks: ``2-3``, or ``2`` alone."""
    return str(speaks.newest) if speaks.oldest == speaks.newest else f"{speaks.oldest}-{speaks.newest}"


def versions_in_text(text: str) -> Versions | None:
    """The same, read; None when it is something else. Version 2 writes ``2``, and reads none."""
    found = re.fullmatch(r"([0-9]{1,3})(?:-([0-9]{1,3}))?", text)
    if found is None:
        return None
    speaks = Versions(int(found[1]), int(found[2] or found[1]))
    return speaks if speaks.oldest <= speaks.newest else None
