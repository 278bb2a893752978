"""The control plane's protocol: delta xDS with Istio's workload API, and the waypoints' own two types.

resource    one named, versioned resource, and the catalog of all of them.
publisher   the server's end of one stream, sans-IO.
subscriber  the client's end over a succession of streams, sans-IO.
intake      from a response to changes of a snapshot.
node        which proxy a client is.
codec       between protobuf and the values of `mesh`.
proto, pb   the protocol files, and what `make generate` makes of them.
"""
