"""Which layers go where: cost model and exact search. Pure.

`cost` says what memory and seconds a placement takes; `placement_table` searches over subset, counts and head
exactly; `planner` makes a plan of it; `reading` is what comes before and after: the header, a stage's layers.

It must not know members, leases or time: devices are numbers, and equal inputs give equal plans.
"""
