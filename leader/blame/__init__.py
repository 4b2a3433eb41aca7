"""What became of loads and runs, by worker and device: who is left out of plans, and for how long. Pure.

`ledger` is what the reconciler's driver asks. `breaks` tells a worker that ended its tunnel from one that was
cut off. `quarantines` doubles, tells and forgets. `good_service` says which members have proved themselves.
`shapes` names a placement, so that one which failed is known again.

It must not know how a worker's last words are asked for, nor who decides what is planned.
"""
