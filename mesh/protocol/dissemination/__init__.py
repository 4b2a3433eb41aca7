"""How facts and addresses spread: rumours, pulls, comparison of sets; greeting; forgetting.

`gossip` tells of new facts to a few members at random, pulls bodies, and compares whole sets by hashes.
`bootstrap` greets addresses where members may live, and tells strangers which node this is. `reaping` forgets
members that are gone for long, leaving the floor below which nothing about them counts.

It must not know what a fact means: it moves keys, versions and signed bytes.
"""
