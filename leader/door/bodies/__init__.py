"""The bodies of requests: read, and built anew from the fields that the door knows. Pure.

`json_bodies` reads and writes JSON strictly. `fields` is what a field may hold; `chat_fields`,
`prompt_fields` and `sampling_fields` are the tables. `tool_choices` narrows tools to the one that is named,
`beginnings` hashes prompts, `body_values` gets typed values for translations.

It must not know paths, nor what an order does.
"""
