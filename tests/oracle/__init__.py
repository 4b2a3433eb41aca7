"""The engine's own word on models: its loader, its tools and the tiny files of every architecture it knows.

`build` makes programs of the pinned source that no member needs, once, in the user's cache.
"""
