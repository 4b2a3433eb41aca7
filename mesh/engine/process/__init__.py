"""Running one program: start, readiness, bounded logs, restarts, standstill, death with its owner.

`supervise` owns a run; `child` and `guardian` ensure that the program never outlives the sidecar. `reach` is
how the sidecar and a confined engine reach each other, with `loopback_owner` where there are no cells.
`restarts` and `standstill` (pure) judge when to start a program again and when it stands still, and
`memory_bound` when it takes too much. `rpc_port` detects that rpc-server is ready without a byte of its
protocol. `logfile` keeps two files and the last lines.

It must not know which program it runs, apart from `rpc_port`.
"""
