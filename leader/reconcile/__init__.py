"""What to do next, given what is wanted and what runs. Pure.

`decide` is a list of rules, first match wins. `view` holds what the rules see and the actions that they may
order. `member_views` turns a member into what placement sees; `deployed_layers` reads what an owner fixes.
`rebalance` says when a move pays. `driver` builds the view from a Node and turns actions into calls, for the
product and the simulation alike.

It must not perform anything: `mesh.serving` and the simulation do.
"""
