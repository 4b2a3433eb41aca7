"""The bounds that docs/internals/limits.md lists: the constants of the code, in words."""

from typing import NamedTuple


class Bound(NamedTuple):
    """``what`` is bounded, by these constants of that module, in this order.

    Those that are private there are named without their underscore.
    """

    what: str
    module: str
    constants: tuple[str, ...]


_PROTOCOL = "mesh.protocol"

BOUNDS: dict[str, tuple[Bound, ...]] = {
    "wire": (
        Bound(
            "bytes of a datagram, of a framed message", "mesh.wire.messages", ("MAX_DATAGRAM", "MAX_STREAMED")
        ),
        Bound("items of a message, buckets", "mesh.wire.messages", ("MAX_ITEMS", "BUCKETS")),
        Bound("bytes of a fact; of an act", "mesh.wire.signed_facts", ("MAX_FACT", "MAX_ACT")),
        Bound(
            "bytes of a claim or word on liveness; of a kind from 10 on",
            "mesh.wire.signed_facts",
            ("MAX_BRIEF", "MAX_LATER"),
        ),
        Bound("stages of a plan, members with fixed layers", "mesh.wire.facts", ("MAX_STAGES", "MAX_FIXED")),
        Bound(
            "quarantines in a pool state; bytes of a reason",
            "mesh.wire.signed_facts",
            ("MAX_QUARANTINES", "MAX_QUARANTINE_REASON"),
        ),
        Bound("options of a deployment", "mesh.wire.signed_facts", ("MAX_OPTIONS",)),
        Bound("copies that a deployment asks for", "mesh.wire.facts", ("MAX_COPIES",)),
        Bound("bytes of a record; in version 2", "mesh.wire.profile", ("MAX_RECORD", "MAX_CLOSED_RECORD")),
        Bound(
            "models, devices, addresses in a record",
            "mesh.wire.profile",
            ("MAX_MODELS", "MAX_DEVICES", "MAX_ADDRESSES"),
        ),
        Bound("levels of nested values", "mesh.wire.codec", ("MAX_DEPTH",)),
    ),
    "protocol": (
        Bound("vouchers in a chain", f"{_PROTOCOL}.trust.revocation", ("MAX_CHAIN",)),
        Bound("vouchers, evictions", f"{_PROTOCOL}.trust.roster", ("MAX_VOUCHERS", "MAX_EVICTIONS")),
        Bound("evictions by one that is no member", f"{_PROTOCOL}.trust.roster", ("MAX_CONTESTED",)),
        Bound("revoked acts remembered", f"{_PROTOCOL}.trust.roster", ("MAX_REVOKED",)),
        Bound(
            "pending facts, from one source", f"{_PROTOCOL}.facts.pending", ("MAX_WAITING", "MAX_OF_A_SOURCE")
        ),
        Bound(
            "deployments, facts of kinds from 10 on of an author",
            f"{_PROTOCOL}.facts.store",
            ("MAX_OF_AN_AUTHOR",),
        ),
        Bound("proofs of equivocation", f"{_PROTOCOL}.facts.store", ("MAX_PROOFS",)),
        Bound("deployments gone beyond another's", f"{_PROTOCOL}.facts.owner_acts", ("MAX_LEAP",)),
        Bound("bodies wanted, asked for", f"{_PROTOCOL}.dissemination.gossip", ("MAX_WANTED", "MAX_ASKED")),
        Bound(
            "wanted of one member, a liar",
            f"{_PROTOCOL}.dissemination.gossip",
            ("MAX_WANTED_OF_ONE", "MAX_WANTED_OF_A_LIAR"),
        ),
        Bound("addresses greeted", f"{_PROTOCOL}.dissemination.bootstrap", ("MAX_HELLO_TARGETS",)),
        Bound("strangers answered a second", f"{_PROTOCOL}.dissemination.bootstrap", ("MAX_REPLIES",)),
        Bound(
            "relayed probes, for one asker",
            f"{_PROTOCOL}.membership.probes",
            ("MAX_RELAYED", "MAX_RELAYED_FOR_ONE"),
        ),
        Bound(
            "comparisons with members of version 2", f"{_PROTOCOL}.membership.older_sets", ("MAX_COMPARED",)
        ),
        Bound("suspicions counted", f"{_PROTOCOL}.membership.flap_detection", ("MAX_SUSPICIONS",)),
        Bound("requests for one lease", f"{_PROTOCOL}.leadership.leader_leases", ("MAX_ASKED",)),
        Bound("buckets of members, hosts", f"{_PROTOCOL}.limits.rate_limits", ("MAX_MEMBERS", "MAX_HOSTS")),
        Bound("numbers behind the latest; later runs", f"{_PROTOCOL}.limits.replays", ("WINDOW", "OTHERS")),
    ),
    "net": (
        Bound("datagrams of members that wait", "mesh.net.datagrams", ("QUEUE",)),
        Bound("datagrams of others that wait", "mesh.net.datagrams", ("STRANGE_QUEUE",)),
        Bound("a second from a member, another", "mesh.net.datagrams", ("KNOWN_RATE", "STRANGE_RATE")),
        Bound("connections without proof", "mesh.net.callers", ("MAX_CALLERS",)),
        Bound("of these from one source", "mesh.net.callers", ("MAX_CALLERS_OF_A_SOURCE",)),
        Bound("streams, of one member", "mesh.net.streams", ("MAX_SESSIONS", "MAX_SESSIONS_OF_A_PEER")),
        Bound(
            "streams of strangers, of a host", "mesh.net.streams", ("MAX_UNPROVEN", "MAX_UNPROVEN_OF_A_HOST")
        ),
        Bound("bytes of the name of a program's build", "mesh.net.versions_preface", ("MAX_BUILD",)),
        Bound("gossip: peers, messages queued", "mesh.net.gossip_streams", ("MAX_PEERS", "MAX_QUEUED")),
        Bound("bytes a second of copies", "mesh.net.pacing", ("MOST_RATE",)),
        Bound("sightings on the LAN", "mesh.net.discovery.mdns", ("MAX_SIGHTINGS",)),
        Bound("machines of a tailnet asked", "mesh.net.discovery.tailnet", ("MAX_CANDIDATES",)),
        Bound("streams at the gate", "worker.gate", ("MOST_SESSIONS",)),
        Bound("connections of a tunnel", "leader.llama.tunnels", ("MAX_CONNECTIONS",)),
    ),
    "gateway": (
        Bound("connections of this machine", "mesh.gateway.entry.clients", ("MAX_LOCAL_CLIENTS",)),
        Bound(
            "of other hosts, of one",
            "mesh.gateway.entry.clients",
            ("MAX_OTHER_CLIENTS", "MAX_CLIENTS_OF_A_SOURCE"),
        ),
        Bound("questions to tailscaled at a time", "mesh.gateway.loopback_guard", ("MAX_ASKING",)),
        Bound("bytes of a head, of a body", "mesh.gateway.connection", ("MAX_HEAD", "MAX_BODY")),
        Bound("requests in flight", "mesh.gateway.proxy", ("MAX_IN_FLIGHT",)),
        Bound("requests that wait for a leader", "mesh.gateway.leaders", ("MAX_WAITING",)),
        Bound(
            "seconds before, within an answer", "mesh.gateway.proxy", ("ARRIVAL_PATIENCE", "ANSWER_PATIENCE")
        ),
        Bound("bytes of a request that resumes", "mesh.gateway.proxy", ("MAX_KEPT_BODY",)),
        Bound(
            "bytes, tokens of an answer to take up",
            "mesh.gateway.resuming.resume_request",
            ("MAX_RESUME_REQUEST", "MAX_TOKENS"),
        ),
        Bound("seconds of an exact replay", "mesh.gateway.resuming.pace", ("EXACT_LIMIT",)),
        Bound("seconds to take an answer up", "mesh.serving.asking.resumption", ("TAKE_UP_LIMIT",)),
        Bound(
            "bytes held of a member, in all",
            "mesh.serving.asking.held_bodies",
            ("MAX_HELD", "MAX_HELD_IN_ALL"),
        ),
        Bound(
            "processes that read requests, seconds for one",
            "mesh.serving.asking.apart",
            ("PROCESSES", "APART_SECONDS"),
        ),
        Bound(
            "requests without a slot, with any, large ones",
            "mesh.serving.asking.order_run",
            ("MAX_SLOTLESS", "MAX_CHOSEN", "MAX_LARGE"),
        ),
        Bound("bytes of answers told as one", "mesh.serving.asking.order_run", ("MAX_WHOLE",)),
        Bound("requests that wait for a slot", "leader.door.slots.turns", ("MAX_WAITING",)),
        Bound("bytes of an answer's text", "mesh.gateway.resuming.answer", ("MAX_TEXT",)),
        Bound("members whose requests are counted", "leader.door.askers.accounts", ("MAX_ACCOUNTS",)),
        Bound(
            "members blamed, deaths of llama-server", "leader.door.askers.blame", ("MAX_BLAMED", "MAX_DEATHS")
        ),
        Bound("requests known that were in these", "leader.door.askers.blame", ("MAX_REQUESTS",)),
        Bound(
            "requests of a member that count once broken off", "leader.door.askers.blame", ("MAX_LINGERING",)
        ),
        Bound("bytes of the counts that a leader tells", "mesh.operations.usage_stream", ("MAX_ANSWER",)),
        Bound("bytes of the reasons that a leader tells", "mesh.operations.reasons_stream", ("MAX_REASONS",)),
        Bound("devices, or plans, that failed", "leader.blame.quarantines", ("MAX_REMEMBERED",)),
        Bound("characters of why one failed", "leader.blame.quarantines", ("LONGEST_WORDS",)),
        Bound("tunnels of which it is not judged yet why they broke", "leader.blame.breaks", ("MAX_BREAKS",)),
        Bound("members that served well", "leader.blame.good_service", ("MAX_PROVEN",)),
        Bound("watchers of the status", "mesh.gateway.feed", ("MAX_WATCHERS",)),
    ),
    "door": (
        Bound("bytes of a request", "leader.door.bodies.json_bodies", ("MOST_BYTES",)),
        Bound(
            "bytes of its text, of its media", "leader.door.bodies.chat_fields", ("MOST_TEXT", "MOST_MEDIA")
        ),
        Bound("pictures, pixels of all", "leader.door.bodies.pictures", ("MOST_PICTURES", "MOST_PIXELS")),
        Bound("scans of a picture", "leader.door.bodies.pictures", ("MOST_SCANS",)),
        Bound("bytes of all that is made of it", "leader.door.verdict", ("MOST_WRITTEN",)),
        Bound("messages, tools", "leader.door.bodies.chat_fields", ("MOST_MESSAGES", "MOST_TOOLS")),
        Bound("answers", "leader.door.bodies.sampling_fields", ("MOST_ANSWERS",)),
        Bound(
            "stops, biases, probabilities",
            "leader.door.bodies.sampling_fields",
            ("MOST_STOPS", "MOST_BIASES", "MOST_PROBABILITIES"),
        ),
        Bound("bytes tokenized with pieces", "leader.door.bodies.prompt_fields", ("MOST_PIECED",)),
        Bound("tokens that infill samples from", "leader.door.bodies.sampling_fields", ("MOST_INFILL",)),
        Bound(
            "probabilities told whole, in a stream",
            "leader.door.bodies.sampling_fields",
            ("MOST_TOLD", "MOST_TOLD_IN_EVENTS"),
        ),
        Bound("texts to embed or to rank", "leader.door.bodies.prompt_fields", ("MOST_INPUTS",)),
        Bound("rules of a schema", "leader.door.grammars.schemas", ("MOST_NODES",)),
        Bound("rules of all tools' schemas", "leader.door.bodies.chat_fields", ("MOST_RULES_OF_TOOLS",)),
        Bound(
            "characters, words of a grammar", "leader.door.grammars.gbnf", ("MOST_CHARACTERS", "MOST_WORDS")
        ),
        Bound("readings of a grammar at a time", "leader.door.grammars.grammar_growth", ("MOST_WIDTH",)),
        Bound("hashes of a prompt's beginnings", "leader.door.bodies.beginnings", ("MOST_PIECES",)),
        Bound(
            "bytes of requests held, a member's, all",
            "mesh.serving.asking.held_bodies",
            ("MAX_HELD", "MAX_HELD_IN_ALL"),
        ),
        Bound(
            "large ones, ones without a slot in llama-server",
            "mesh.serving.asking.order_run",
            ("MAX_LARGE", "MAX_SLOTLESS"),
        ),
        Bound("requests that wait for a slot", "leader.door.slots.turns", ("MAX_WAITING",)),
        Bound("files of parked slots, for each slot", "leader.llama.slots", ("PLACES_PER_SLOT",)),
    ),
    "rest": (
        Bound("open invites", "mesh.admission.invites", ("MAX_OPEN_INVITES",)),
        Bound(
            "machines in the lobby, of a host",
            "mesh.admission.pairing_lobby",
            ("MAX_WAITING", "MAX_WAITING_OF_A_HOST"),
        ),
        Bound("sources of a copy", "mesh.copies.copy_fetch", ("MAX_SOURCES",)),
        Bound(
            "bytes of a header elsewhere, holders asked",
            "mesh.copies.header_fetch",
            ("MAX_HEADERS", "MAX_HOLDERS"),
        ),
        Bound("characters of a model as it is typed", "mesh.hub.references", ("MAX_TEXT",)),
        Bound(
            "bytes of a request to the hub's process", "mesh.hub.downloader.hub_process", ("LONGEST_REQUEST",)
        ),
        Bound("bytes of a line that it answers", "mesh.hub.hub_client", ("LONGEST_LINE",)),
        Bound("bytes of a header from the hub", "mesh.cli.models.choosing", ("MOST_HEADER_BYTES",)),
        Bound("parts of a model at an address", "mesh.hub.downloader.url_downloads", ("MOST_PARTS",)),
        Bound("redirects of a download", "mesh.hub.downloader.receiving", ("MOST_REDIRECTS",)),
        Bound(
            "tries without a byte, seconds that servers ask for",
            "mesh.hub.downloader.persistence",
            ("TRIES", "MOST_WAITING"),
        ),
        Bound("bytes that a download leaves free", "mesh.hub.downloader.disk_room", ("MARGIN",)),
        Bound("samples of its rate", "mesh.wire.recent_rate", ("MOST_SAMPLES",)),
        Bound(
            "files that another downloads, bytes of a path",
            "mesh.operations.pulling.wanted_download",
            ("MAX_FILES", "MAX_PATH"),
        ),
        Bound("bytes of such a request", "mesh.operations.pulling.wanted_download", ("MAX_REQUEST",)),
        Bound("characters of a text that comes back", "mesh.operations.pulling.fetch_stream", ("MAX_TEXT",)),
        Bound("members asked for room", "mesh.operations.pulling.download_place", ("MAX_ASKED",)),
        Bound(
            "variants that are judged at once", "mesh.operations.pulling.pull_operations", ("MAX_VARIANTS",)
        ),
        Bound("copies given, to one member", "mesh.copies.copy_server", ("MAX_SERVED", "MAX_OF_A_PEER")),
        Bound("bytes that a copy leaves free", "mesh.copies.copy_policy", ("MARGIN",)),
        Bound("files, pieces of a model", "mesh.copies.hash_tree", ("MAX_FILES", "MAX_PIECES")),
        Bound("bytes of the disk that saved slots leave free", "leader.llama.slots", ("SPARE_BYTES",)),
        Bound("seconds that saving or restoring them takes", "leader.llama.slots", ("KEEP_SECONDS",)),
        Bound("models held", "leader.model.held_models", ("MAX_MODELS",)),
        Bound("layers of a model", "leader.model.gguf", ("MAX_LAYERS",)),
        Bound("tensors, metadata entries of a file", "leader.model.gguf_parts", ("MAX_TENSORS", "MAX_PAIRS")),
        Bound("devices of a plan", "leader.placement.cost", ("MAX_DEVICES",)),
        Bound("samples of a load", "leader.llama.load_progress", ("MOST_SAMPLES",)),
        Bound("open files of a sidecar", "mesh.runtime.process", ("MAX_FILES",)),
        Bound(
            "entries of a chat's history, characters of one",
            "mesh.cli.chat.prompt_history",
            ("MOST_ENTRIES", "LONGEST_ENTRY"),
        ),
        Bound("bytes of a chat's request", "mesh.cli.chat.answer_stream", ("MAX_REQUEST",)),
        Bound("pauses of an answer that a chat keeps", "mesh.cli.chat.answer_measure", ("MOST_PAUSES",)),
        Bound("bytes piped into a chat", "mesh.cli.chat.one_shot_chat", ("MAX_PIPED",)),
        Bound("commands at the control socket", "mesh.control.control_server", ("MOST_CONNECTIONS",)),
    ),
}
