"""The process that talks with the hub and downloads: it takes one request and ends with its answer.

`hub_process` reads the request. `description` says what a repository has, with nothing in it that could hurt
(`checked_entry`, `bounded_answers`). `hub_downloads` fills the hub's cache, and `url_downloads` gets models
of other addresses, by `receiving` ranges with `persistence`, while there is `disk_room`; `progress_lines`
tell how far it is. `hub_library` alone imports the hub's library, with its cache, token and endpoint.
`explanations` has words for `refusals`.

It must not be imported by any other process: the library takes a fifth of a second.
"""
