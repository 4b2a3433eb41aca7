"""A machine that lends itself: its memory, its rpc-server, and the gate before that.

`fence` (pure) says which streams of the lease holder pass and which are cut; `gate` does it. The simulation
uses the same fence. `greeting` blanks
what would lead around the gate. `rpc_server` runs llama.cpp's rpc-server on loopback, sandboxed. `hardware`
measures memory and says how much is offered.

It must not know elections, membership or `leader`: it is told whose streams may pass.
"""
