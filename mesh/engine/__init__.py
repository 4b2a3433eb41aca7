"""llama.cpp as programs: what this machine computes with, getting the pair, running and confining it.

`backends` declares each kind of accelerator; `detect` finds this machine's and says why. `install` finds,
downloads or builds llama-server and rpc-server. `devices` asks them what they compute on, `threads` counts
those that they get. `process` runs a program that dies with this one. `sandbox`
puts a program into a cell. `python -m mesh.engine` gets the engine by itself.

It must not know pools, members or models: it hands out two programs and ways to run them.
"""
