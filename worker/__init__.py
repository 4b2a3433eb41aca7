"""A machine's share in a pool: its memory, its rpc-servers, and the gate before those.

`hardware` measures the machine's memory; `memory_option` (pure) reads what a person lends, and `offers`
(pure) says what each device lends. `fence` (pure) says which streams of the lease holder pass and which are
cut; `gate` enforces it. The simulation uses the same fence. `greeting` blanks what would lead around the
gate. `rpc_server` runs llama.cpp's rpc-server, confined; `rpc_servers` has one for each device, or for
several, as a leader asks.

It must not know elections, membership or `leader`: its caller says whose streams may pass.
"""
