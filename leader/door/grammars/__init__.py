"""Grammars, JSON schemas and patterns: what the engine's work on them comes to, and bounds for it. Pure.

`gbnf` reads llama.cpp's grammars, `patterns` regular expressions, `schemas` JSON schemas, all into
`grammar_rules`. `grammar_growth` multiplies repetitions out, `grammar_runs` counts in how many ways a text is
read, `char_sets` says which characters two readings share.

It must not know requests: it is given a grammar, and raises where one costs too much.
"""
