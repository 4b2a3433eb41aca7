"""Where members may be found: this machine's interfaces, multicast DNS, the tailnet.

`interfaces` says which of this machine's addresses to advertise. `mdns` announces and sees pools on the LAN.
`tailscale` asks tailscaled over its LocalAPI; `tailnet` (pure) says what the answers mean. `port_users` tells
whose programs are connected from a port of this machine.
`discovery_source` is the protocol that each source fulfils (`lan`, `tailnet_source`); `discovery` asks all of
them.

It must not know the protocol, and it decides nothing: it yields addresses and, on a tailnet, the owner of the
machine that calls. A source that does not work says why, and everything else continues.
"""
