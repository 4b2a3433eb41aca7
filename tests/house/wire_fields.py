"""Every field of every fact and message, in words: the tables of docs/protocol/wire.md.

A row is ``name | since which wire version | bound | what it says``, in the order of the array. Lists say
their length and what is in them. tests.house.test_wire_fields holds that each field of the code has its row
here, and each row its field.
"""

from typing import Any, NamedTuple

from mesh.wire import facts, messages, profile, rumours

_ID, _ANY = "16 bytes", "2^63 - 1"


class Table(NamedTuple):
    """The rows of one class; ``law``: how versions of a fact merge, or what a message is answered by."""

    of: type[Any]
    law: str
    rows: str

    @property
    def fields(self) -> list[list[str]]:
        """Name, version, bound and meaning of each field."""
        lines = self.rows.replace("ANY", _ANY).replace("ID", _ID).splitlines()
        return [[cell.strip() for cell in line.split("|")] for line in lines if line]


_AUTHOR = """
pool | 2 | ID | the pool
author | 2 | ID | who signed it
"""
_CLAIMED = "the claim, as its author signed it"

TABLES: dict[str, tuple[Table, ...]] = {
    "facts": (
        Table(
            facts.Voucher,
            "never replaced",
            _AUTHOR
            + """
number | 2 | ANY | which act of its author it is
previous | 2 | 16 bytes | the hash of the act before
key | 2 | 32 bytes | the public key that is vouched for
rights | 2 | 3 bits; from 3 on 8 | 1 work, 2 lead, 4 own, 8 *no* ask; others are kept
""",
        ),
        Table(
            facts.Eviction,
            "never replaced",
            _AUTHOR
            + """
number | 2 | ANY | which act of its author it is
previous | 2 | 16 bytes | the hash of the act before
subject | 2 | ID | who is out
last | 2 | ANY | the last of its acts that stays valid; 0: none
last_hash | 2 | 16 bytes | the hash of that act
""",
        ),
        Table(
            facts.Record,
            "the highest (generation, sequence) of its author",
            _AUTHOR
            + """
generation | 2 | ANY | which start of the process
nonce | 2 | 8 bytes | tells runs apart; from 3 on marked with what its author speaks
sequence | 2 | ANY | which record of this run
left | 2 | yes or no | it left in order
profile | 2 | a Profile | what the machine is
""",
        ),
        Table(
            facts.Claim,
            "the highest term of its author; the 8 highest of all",
            _AUTHOR
            + """
term | 2 | ANY | the term that it claims
rank | 2 | ANY | the rank that it leads with
""",
        ),
        Table(
            facts.Resignation,
            "the highest (term, has a successor) of its author; the 32 highest of all",
            _AUTHOR
            + """
term | 2 | ANY | up to which term it gives up its claims
successor | 2 | ID | who is to lead; zeros: nobody
""",
        ),
        Table(
            facts.Deployment,
            "the highest number of its author and name; 8 of an author",
            _AUTHOR
            + """
number | 2 | ANY | the highest seen plus one
model | 2 | a Model | what the pool runs
context | 2 | ANY | tokens of context
slots | 2 | ANY | requests at a time
running | 2 | yes or no | whether it is to run
layers | 2 | 128 of (ID, ANY) | members whose number of layers is fixed
copies | 2 | 1 to 64 | members that keep the file
name | 3 | 48 bytes | which deployment; the pool runs the one without a name
options | 3 | 16 of (24, 64 bytes), sorted | the engine's options; unknown keys are kept
second | 3 | a Model or none | the file beside the model's
""",
        ),
        Table(
            facts.PoolState,
            "the highest (term, sequence) of its author and name; 8 an author, of 4",
            _AUTHOR
            + """
term | 2 | ANY | of the claim that it leads by
sequence | 2 | ANY | which state of this term
deployment | 2 | ANY | the deployment's number
phase | 2 | 16 bytes | how far it is
progress | 2 | finite | of that phase, 0 to 1
reason | 2 | 200 bytes | what it waits for
tokens_per_second | 2 | finite | as predicted
stages | 2 | 64 Stages | the plan
name | 3 | 48 bytes | the deployment's name
quarantines | 3 | 16 Quarantines | what the plan leaves out
""",
        ),
        Table(
            facts.Liveness,
            "the highest (generation, incarnation) of its author",
            _AUTHOR
            + """
generation | 2 | ANY | which start of the process
incarnation | 2 | ANY | how often it refuted since
stable | 2 | yes or no | others reach it well
""",
        ),
        Table(
            facts.Suspicion,
            "lapses when the subject's liveness rises; 3 of a subject",
            _AUTHOR
            + """
subject | 2 | ID | who did not answer
generation | 2 | ANY | the liveness that is doubted
incarnation | 2 | ANY | the same
refused | 2 | yes or no | the machine refused the port
""",
        ),
        Table(
            facts.PoolEngine,
            "the highest version of its author",
            _AUTHOR.replace("| 2 |", "| 3 |")
            + """
version | 3 | one number, ANY | the highest seen plus one
place | 3 | empty | an author has one
release | 3 | 40 bytes | llama.cpp's release; empty: whichever each has
digest | 3 | 32 bytes | the digest of its source
""",
        ),
        Table(
            facts.LaterFact,
            "the highest version of its kind, author and place; of kinds from 10 on 8 of an author",
            """
kind | 3 | 10 to 255 | a kind that the reader does not know
pool | 3 | ID | the pool
author | 3 | ID | who signed it
version | 3 | 3 numbers, ANY | compared number by number
place | 3 | 32 bytes | which of its author's facts of this kind
""",
        ),
    ),
    "parts": (
        Table(
            profile.Profile,
            "in a Record",
            """
name | 2 | 48 bytes | the machine's name
addresses | 2 | 6 of (64 bytes, 65535) | where it is reached
accelerator_kind | 2 | 16 bytes | cpu, cuda, metal, ...
accelerator_name | 2 | 64 bytes | as the driver names it
memory_total | 2 | ANY | bytes
memory_offered | 2 | ANY | bytes for layers; 0: it does not work
memory_free | 2 | ANY | bytes
tokens_per_second | 2 | finite | not filled
engine_state | 2 | 16 bytes | missing, building, ready, failed
engine_progress | 2 | finite | of building, 0 to 1
engine_reason | 2 | 120 bytes | why it failed
engine_commit | 2 | 40 bytes | llama.cpp's commit
engine_rpc | 2 | 16 bytes | version of its RPC protocol
models | 2 | 8 Models | files that it holds
rank | 2 | ANY | with which it would lead; 0: not at all
paused | 2 | yes or no | not filled
build | 3 | 40 bytes | as `mesh --version` prints it
devices | 3 | 8 OfferedDevices | what can hold layers
""",
        ),
        Table(
            profile.Model,
            "in a Profile, a Deployment; does not grow",
            """
name | 2 | 96 bytes | the file's name
size | 2 | ANY | bytes
root | 2 | 32 bytes | the root of its hash tree
""",
        ),
        Table(
            profile.OfferedDevice,
            "in a Profile",
            """
kind | 3 | 16 bytes | cpu, cuda, metal, ...
name | 3 | 24 bytes | short
memory_total | 3 | ANY | bytes
memory_offered | 3 | ANY | bytes for layers
bandwidth | 3 | finite | bytes of weights that decoding reads in a second; 0: not measured
operations | 3 | finite | operations of a prefill in a second
overhead | 3 | finite | seconds that each graph takes beside them
slope | 3 | finite | seconds that a layer takes more for each token of depth
""",
        ),
        Table(
            facts.Stage,
            "in a PoolState",
            """
member | 2 | ID | who holds it
first | 2 | ANY | its first layer
last | 2 | ANY | its last; less than the first: none
head | 2 | yes or no | it holds the output layer
bytes | 2 | ANY | of its layers
milliseconds | 2 | finite | a token, as predicted
device | 3 | 24 bytes | the member's that holds them; empty: its only one
""",
        ),
        Table(
            facts.Quarantine,
            "in a PoolState",
            """
member | 3 | ID | whose device it is
device | 3 | 24 bytes | its name; empty: the whole member
seconds | 3 | ANY | how much longer
reason | 3 | 96 bytes | what went wrong
""",
        ),
        Table(
            rumours.Rumour,
            "in Rumours, Contents; does not grow",
            """
key | 2 | 8 bytes | the fact's place
version | 2 | 3 numbers, ANY | its version
mark | 2 | 4 bytes | the beginning of its hash
""",
        ),
    ),
    "messages": (
        Table(
            messages.Ping,
            "Ack",
            """
token | 2 | ANY | comes back in the answer
summary | 2 | 8 bytes | the hash over all of the sender's facts
generation | 2 | ANY | the sender's liveness
incarnation | 2 | ANY | the same
""",
        ),
        Table(
            messages.Ack,
            "nothing",
            """
token | 2 | ANY | that of the Ping
summary | 2 | 8 bytes | the hash over all of the sender's facts
generation | 2 | ANY | the sender's liveness
incarnation | 2 | ANY | the same
""",
        ),
        Table(
            messages.PingRequest,
            "Relayed or Nack",
            """
token | 2 | ANY | comes back in the answer
target | 2 | ID | whom to ask
endpoint | 2 | (64 bytes, 65535) | where
""",
        ),
        Table(
            messages.Relayed,
            "nothing",
            """
token | 2 | ANY | that of the PingRequest
datagram | 2 | 1200 bytes | the target's Ack as it came
""",
        ),
        Table(
            messages.Nack,
            "nothing",
            """
token | 2 | ANY | that of the PingRequest
""",
        ),
        Table(
            messages.Hello,
            "Hello, where it is asked for",
            """
answer | 2 | yes or no | the other is to introduce itself
summary | 2 | 8 bytes | the hash over all of the sender's facts
chain | 2 | 8 facts | vouchers from the founder to the sender
""",
        ),
        Table(
            messages.Rumours,
            "Pull",
            """
rumours | 2 | 4096 Rumours | what is new
""",
        ),
        Table(
            messages.Pull,
            "Bodies",
            """
keys | 2 | 4096 of 8 bytes | places of the facts that are wanted
""",
        ),
        Table(
            messages.Bodies,
            "nothing",
            """
facts | 2 | 4096 facts | as they were signed
""",
        ),
        Table(
            messages.Buckets,
            "Contents",
            """
hashes | 2 | 64 of 8 bytes | the hash of each bucket
""",
        ),
        Table(
            messages.Contents,
            "Pull and Rumours",
            """
buckets | 2 | 64 numbers, ANY | which buckets
rumours | 2 | 4096 Rumours | all facts in them
""",
        ),
        Table(
            messages.VoteRequest,
            "Vote",
            """
term | 2 | ANY | the term that the sender would claim
""",
        ),
        Table(
            messages.Vote,
            "nothing",
            f"""
term | 2 | ANY | that of the VoteRequest
yes | 2 | yes or no | the answer
claim | 2 | a fact | {_CLAIMED}; empty: none
""",
        ),
        Table(
            messages.LeaseRequest,
            "LeaseGrant, LeaseRefusal or nothing",
            f"""
worker | 2 | ID | who is asked
number | 2 | ANY | of this request
generation | 2 | ANY | of the asking process
claim | 2 | a fact | {_CLAIMED}
release | 2 | a fact | the predecessor's resignation; empty: none
name | 3 | 48 bytes | the deployment's name
""",
        ),
        Table(
            messages.LeaseGrant,
            "nothing",
            """
number | 2 | ANY | that of the request
term | 2 | ANY | that of the claim
name | 3 | 48 bytes | the deployment's name
""",
        ),
        Table(
            messages.LeaseRefusal,
            "nothing",
            f"""
number | 2 | ANY | that of the request
wait | 2 | ANY | milliseconds
claim | 2 | a fact | {_CLAIMED} that comes first
name | 3 | 48 bytes | the deployment's name
""",
        ),
        Table(
            messages.LeaseRelease,
            "nothing",
            """
worker | 2 | ID | who is released
number | 2 | ANY | up to which request
term | 2 | ANY | of the claim
name | 3 | 48 bytes | the deployment's name
""",
        ),
    ),
}


PREFACE = """
wire | preface | the oldest version spoken; version 2 compares it with its own
speaks | both | [oldest, newest]; missing: `wire` alone, in an answer version 2
build | both | the program's build, as `mesh --version` prints it
name | both | what the machine is called, for people
pool | preface | whose members speak
kind | preface | what the stream is for
arguments | preface | of that kind
ok | answer | the stream is open
error | answer | why not: code, message, hint
"""
"""The keys of a stream's preface and of its answer: ``name | in which | what it says``."""


def markdown(area: str) -> list[str]:
    """The tables of one area, one after the other."""
    if area == "preface":
        rows = [line.split(" | ") for line in PREFACE.strip().splitlines()]
        return ["| key | in | says |", "|---|---|---|", *(f"| `{a}` | {b} | {c} |" for a, b, c in rows)]
    lines: list[str] = []
    for table in TABLES[area]:
        kind = getattr(table.of, "kind", None)
        number = f", kind {kind}" if isinstance(kind, int) else ""
        law = {"facts": "merges: ", "parts": "", "messages": "answered by "}[area] + table.law
        lines += [f"**{table.of.__name__}**{number}; {law}", ""]
        lines += ["| field | since | bound | says |", "|---|---|---|---|"]
        lines += [f"| `{name}` | {since} | {bound} | {says} |" for name, since, bound, says in table.fields]
        lines.append("")
    return lines[:-1]
