"""Copies of the deployed model's file on members that may lead.

`copy_policy` (pure) says which member copies next; `copy_manager` is this node's part as leader, holder and
copier; `copy_fetch` draws pieces from all holders at once; `copy_server` gives them; `copy_store` keeps them
on the disk; `hash_tree` checks them against the root in the deployment.

It must not know llama-server or placement. A copy is its member's own and outlives the leader that asked.
"""
