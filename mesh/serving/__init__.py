"""A node's two loops around the engine: as leader it serves the model, as worker it lends its rpc-server.

`leader_loop` builds the reconciler's view from the Node, calls `leader.reconcile.decide` and performs its
actions. `pipeline` is one llama-server with its tunnels, from the first stream to the end. `worker_loop` runs
rpc-server behind the gate.

Between those who ask and llama-server stands the `door`. `judging` reads and judges requests, large ones
`apart`, with `resume_reader` for those to take up an answer. `order_run` performs them by `engine_client`,
`resumption` takes an answer up. `slot_turns` hands out the slots of llama-server, and `engine_use` tells when
it is done with one; `answer_counter` counts the answers in progress. Of those who ask: `asking_right` looks
up whether they may, `ask_limits` and `held_bodies` how much; `bill` notes what it cost, and `ask_reporter`
tells people.

It must not decide: `leader.reconcile` says what to run, the Node says which leases are held.
"""
