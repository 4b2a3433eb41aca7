"""Which members live: SWIM with Lifeguard's suspicion, and flap detection on top.

`membership` holds the peers, their suspicion, refutation and death. `probes` asks members whether they live:
in turn, out of turn, through others, by TCP. `peers` is what is known of one other member, its round trip
among it. `flap_detection` lets a member judge its own reachability and stay away while it is bad.

It must not know leaders, leases or how facts spread. Liveness rises by facts that its subject signed, and by
nothing else.
"""
