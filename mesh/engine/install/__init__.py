"""Getting llama.cpp: an installed pair, a cached one, or one built from the pinned source.

`pins` names the one version, its hash and its build flags. `locate` and `installed` look for an existing
pair. `build` goes from nothing to a checked pair by `package_index`, `llama_source`, `archives`, `toolchain`
and `compile`; `build_progress` reports the progress. `cache` says where everything is kept.

It must not run an engine but to check it. This is the one place that talks to the world outside the mesh,
and it obeys the environment's HTTP proxies.
"""
