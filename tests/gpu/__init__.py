"""Engines for accelerators, without one and with one.

`vulkan` builds the engine for Vulkan over Debian's software driver, so that a machine without a GPU has a
`Vulkan0` beside its `CPU`; `vulkan_headers` finds headers that are new enough. `proof` is what a machine with
a GPU proves: a pool from the build to the death of its leader; the script `run` makes its environment first.
"""
