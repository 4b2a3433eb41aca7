"""Which slot of llama-server computes a request, so that what is in it serves no other domain. Pure.

`slot_table` hands slots out, `slot_content` is what one holds, `turns` says who is next. `parked_slots` are
conversations saved to files, `parking_cost` says when that pays.

It must not know files or connections: `mesh.serving.asking.slot_turns` performs it.
"""
