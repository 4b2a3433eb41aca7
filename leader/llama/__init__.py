"""llama-server, owned: its command line, tunnels, watchdog, saved slots, last words.

`llama_server` is one run of it; `server_arguments` (pure) writes its command line from a plan,
`memory_limit` (pure) says what it may take; `tunnels` leads it to each worker; `watchdog` (pure) detects an
engine that is stuck, `load_progress` (pure) says how far a load is; `slots` keeps conversations over a move,
`slot_manifest` (pure) says whose they are; `local_http` is the smallest client.

It must not decide whether to run: when llama-server has ended, the reconciler says what is next.
"""
