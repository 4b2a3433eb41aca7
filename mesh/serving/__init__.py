"""A node's two loops around the engine: as leader it serves the model, as worker it lends its rpc-server.

`leader_loop` builds the reconciler's view from the Node, calls `leader.reconcile.decide` and performs its
actions. `pipeline` is one llama-server with its tunnels, from the first stream to the end. `worker_loop` runs
the rpc-servers behind the gate; `last_words` asks a worker what became of one. `answer_counter` counts the
answers in progress. `asking` is the door before llama-server.

It must not decide: `leader.reconcile` says what to run, the Node says which leases are held.
"""
