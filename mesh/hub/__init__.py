"""Models by name: what a person means by one, what the hub has of it, and its download.

`references` reads what people type; `repository` is what the hub says of one repository; `quantisations`
tells its variants apart and chooses (all pure). `hub_process` is the process that talks with the hub and
downloads: it alone imports the hub's library, with that library's cache, token and endpoint. `hub_lines` are
the lines between it and `hub_client`, which starts it.

It must not know pools: whether a model fits, and who downloads it, is decided above.
"""
