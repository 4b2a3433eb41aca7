"""Models by name: what a person means by one, what the hub has of it, and its download.

`references` reads what people type; `repository` is what the hub says of one repository; `quantisations`
tells its variants apart and chooses (all pure). `hub_client` starts the process of `downloader` for each
question to the hub; `hub_lines` are the lines between them. `forgetting` removes a download whose hash is
wrong. `hub_cache` sees what has arrived of one, without the hub's library.

It must not know pools: whether a model fits, and who downloads it, is decided above.
"""
