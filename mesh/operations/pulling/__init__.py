"""Models by name, as far as they are a pool's: who downloads one, and how it becomes one that is held.

`pull_operations` answers the commands. `holding` hashes files and notes them as held; `held_elsewhere` finds
a model that another member holds, and its shape. `download_place` says which member downloads; `fetch_stream`
has both ends of the stream by which an owner has another member download, `wanted_download` what such a
request may say.

It must not know what a name means to a person, or how the hub is asked: that is the command line's, and
`mesh.hub`'s.
"""
