"""Model files: the GGUF header, the hash tree that names a model, the files that this node holds.

`gguf`, `gguf_reader` and `gguf_types` read a header and nothing else, through one bounded window, however
hostile the file. `layer_caches` and `graph_widths` are what each layer keeps of a context and what computing
takes, as the engine does both. `model_info` is what placement needs of it. `model_hash` names a model by the
root of its hash tree; `held_models` remembers which files are here; `model_names` says what copies are
called.

It must not know members, plans or processes.
"""
