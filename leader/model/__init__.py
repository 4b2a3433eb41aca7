"""Model files: the GGUF header, the hash tree that names a model, the files that this node holds.

`gguf`, `gguf_reader` and `gguf_types` read a header and nothing else, through one bounded window, however
hostile the file. `model_info` is what placement needs of it. `model_hash` names a model by the root of its
hash tree; `held_models` remembers which files are here; `model_names` says what copies are called.

It must not know members, plans or processes.
"""
