"""The local socket: the operations that commands may ask of the sidecar, and both ends of it.

`operations` types each operation's arguments, events and result: the contract behind `--json`.
`argument_types` checks requests against these types. `control_client` is the command's end, from the standard
library alone, so that `mesh status` is quick. `control_server` is the sidecar's end; `socket_peer` asks the
kernel for the other end's user. `paths` names the places of state, socket and logs; `sidecar_options`
declares the options of a node.

It must not know what an operation does: handlers are passed in.
"""
