"""Which layers go where: cost model and exact search. Pure.

`cost` says what memory and seconds a placement takes; `placement_table` searches over subset, counts and head
exactly; `planner` makes a plan of it; `rpc_groups` says which rpc-servers that takes; `reading` reads a
model's header first, in a thread.

It must not know members, leases or time: devices are numbers, and equal inputs give equal plans.
"""
