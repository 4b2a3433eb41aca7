"""The local socket: what commands may ask of the sidecar, and both ends of it.

`operations` types each operation's arguments, events and result: the contract behind `--json`.
`control_client` is the command's end, from the standard library alone, so that `mesh status` is quick.
`control_server` is the sidecar's end; `socket_peer` asks the kernel whose process calls. `paths` says where
state, socket and logs lie.

It must not know what an operation does: handlers are handed in.
"""
