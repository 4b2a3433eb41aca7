"""Models by name: what a person means by one, what the hub has of it, and its download.

`references` reads what people type; `repository` is what the hub says of one repository; `quantisations`
tells its variants apart and chooses (all pure). `hub_client` starts `hub_process` for each question to the
hub. There `description` says what the hub has, with nothing in it that could hurt (`checked_entry`,
`bounded_answers`), `hub_downloads` fills its cache, and `url_downloads` gets models of other addresses, by
`receiving` ranges with `persistence`. `hub_library` alone imports the hub's library, with its cache, token
and endpoint. `forgetting` removes a download whose hash is wrong. `hub_cache` sees what has arrived of one,
without that library; `recent_rate` is how fast it comes.

It must not know pools: whether a model fits, and who downloads it, is decided above.
"""
