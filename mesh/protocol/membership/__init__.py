"""Which members live: SWIM with Lifeguard's suspicion, and flap detection on top.

`membership` holds the peers, their suspicion, refutation and death. `probes` asks members whether they live:
in turn, out of turn, through relays, by TCP. `peers` is a node's view of one other member, with its round
trip time. `flap_detection` lets a member judge its own reachability, and quarantines it while that is bad.
`form_choice` picks the wire version in whose form a member signs; `older_sets` spares members of version 2
comparisons that can bring nothing.

It must not know leaders, leases or how facts spread. Only facts that its subject signed raise a liveness.
"""
