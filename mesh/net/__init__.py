"""Getting bytes to and from other machines: the mesh's port, UDP datagrams, TLS streams, bulk bytes.

`port` binds; `datagrams` sends and receives with bounded queues. `tls`, `connecting`, `session` and `streams`
make authenticated streams of named kinds; by `versions_preface` both ends say which wire versions they speak.
`gossip_streams` carries the protocol's large messages. `bridge`, `stream_ends` and `link` move a model's
bytes by threads. `callers`, `metering` and `pacing` bound what peers may cost. `discovery` finds addresses.

It must not know facts, leases or models: its callers hand in members' keys, handlers of the kinds of streams,
and the id of the pool, by which `streams` refuses streams of another.
"""
