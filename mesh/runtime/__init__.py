"""One node at work: the driver around the pure Node, what it keeps on the disk, what everybody shares.

`node_driver` feeds the Node and performs its effects in order; `durability` keeps the node silent while the
disk owes a durable write. `state` is the state directory, `effective_options` what the node runs with,
`node_context` the values that are made once, `change_signal` what wakes those that wait. `engine_keeper` gets
the engine in the background, `status` builds `mesh status --json`.

It must not know admission, copies, serving or commands.
"""
