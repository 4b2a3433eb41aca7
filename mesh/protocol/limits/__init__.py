"""What a datagram may cost before anything is known of it: rate limits and replay windows.

`rate_limits` bounds how many signatures are verified for each source, and for all strangers together.
`token_bucket` is what they count by. `token_bucket` is what they count by. `replays` says whether a datagram
is new, over restarts of its sender (a sliding window as in RFC 4303).

It must not know what messages mean. Everything here is bounded by constants, whatever arrives.
"""
