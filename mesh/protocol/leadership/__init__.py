"""Which member leads, and which leader each worker serves: a bully election with terms, and leases as fences.

`election` is one member's part in elections, by a table of roles. `claims` judges which claims are in force.
`worker_lease` is the worker's side of a lease: the worker alone decides which leader it serves.
`leader_leases` is the leader's side of it. `reports` signs a member's records and a leader's pool states.

It must not know placement, models or llama-server: a rank is a number, a worker is an id. There is no quorum
(`docs/decisions/0001-no-quorum.md`).
"""
