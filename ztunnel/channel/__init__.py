"""What a worker and the node's supervisor say to each other, over one unix stream socket. Pure.

frames    how a message stands on the stream.
message   every message, to and from its document; parsing is strict, for a worker may be anybody's.
sighting  what a worker tells of a connection, which the supervisor completes to a record.

A worker asks for what lies at an address and is kept up to date about it from then on. It asks again for all of it when
it comes back after losing its supervisor; the first update it then gets replaces what it has.
"""
