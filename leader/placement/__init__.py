"""Which layers go where: cost model and search. Pure.

`cost` says what memory and seconds a placement takes. `placement_search` finds the fastest: of equal layers
by `placement_table`; of unequal ones, whose `windows` depend on their place, by `subset_table` over all
orders of a few devices, or by `order_table` over some orders of many. `fixed_counts` spreads what a person
fixes over a machine's devices. `planner` makes a plan of it, `infeasible` says why there is none,
`rpc_groups` which rpc-servers it takes; `reading` reads a model's header first, in a thread.

It must not know members, leases or time: devices are numbers, and equal inputs give equal plans.
"""
