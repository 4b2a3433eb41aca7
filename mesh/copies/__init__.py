"""Copies of the deployed model's file on members that may lead.

`copy_policy` (pure) chooses the member that copies next. `copy_manager` is this node's part as leader, holder
and copier. `copy_fetch` fetches pieces from all holders at once; `copy_server` serves them. `copy_store`
keeps them on the disk; `hash_tree` checks them against the root in the deployment. `copy_source` is the
copier's end of a stream to one holder; `header_fetch` reads by it the shape of a model that is elsewhere.

It must not know llama-server or placement. A copy belongs to its member and outlives the leader that asked.
"""
