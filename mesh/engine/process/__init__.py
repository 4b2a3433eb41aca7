"""Running one program: start, readiness, bounded logs, restarts, standstill, death with its owner.

`supervise` owns a run; `child` and `guardian` ensure that the program never outlives the sidecar. `reach` is
how sidecar and program connect to each other and nobody else to either; `loopback_owner` says whose a
connection is where the program has no network of its own. `restarts` and `standstill` (pure) judge when to
start it again and when it stands still, `memory_bound` when it takes too much. `rpc_port` detects that
rpc-server is ready without a byte of its protocol. `logfile` keeps two files and the last lines;
`exit_reason` (pure) reads in them why a program ended, `bare_paths` (pure) leaves folders out.

It must not know which program it runs, apart from `rpc_port`.
"""
