"""One running node: the driver around the pure Node, its state on the disk, and the context that parts share.

`node_driver` feeds the Node and performs its effects in order. `durability` keeps the node silent while the
disk owes a durable write. `state` is the state directory, `effective_options` the options in force.
`node_context` holds the values that are made once, `change_signal` wakes waiting tasks. `engine_keeper` gets
the engine in the background. `status` builds `mesh status --json`, `version_problems` (pure) what keeps its
members apart. `program_build` says which program this is, `installed_program` whether that one runs.

It must not know admission, copies, serving or commands.
"""
