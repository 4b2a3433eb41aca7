"""How facts and addresses spread: rumours, pulls, anti-entropy; hellos to seeds; reaping.

`gossip` tells of new facts to a few members at random, pulls bodies, and compares whole sets by hashes.
`bootstrap` sends hellos to addresses where members may live, and introduces this node to strangers. `reaping`
forgets members that are gone for long, but keeps the floor below which nothing about them counts.

It must not know what a fact means: it moves keys, versions and signed bytes.
"""
