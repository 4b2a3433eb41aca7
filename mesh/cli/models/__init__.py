"""What a person means by a model, and how it gets to where it can be served.

`model_argument` reads the argument of `mesh serve`, `mesh pull` and `mesh plan`. `held_names` finds a model
of the pool by its name; `choosing` picks a variant of a repository that fits the pool; `bringing` has a model
downloaded, here or by another member.

It must not know how a model is placed or downloaded: the sidecar and `mesh.hub` do that.
"""
