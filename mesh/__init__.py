"""Frankenstein Mesh: what makes a machine a member of a pool, and the commands that ask it.

Floors, from the ground: `wire`, `protocol`, `net` and `engine`, `gateway` and `control`, `runtime`,
`admission` beside `copies` and `tools`, `serving`, `member`, `operations`, `root`, `cli`. Each imports only
from those below it; import-linter holds that (`pyproject.toml`). `worker` and `leader`, between `net` and
`gateway`, are packages of their own beside this one.

`docs/packages.md` lists every package; ARCHITECTURE.md says how they work together.
"""
