"""The vocabulary that every program of the mesh speaks.

Nouns, each in its own file with the one verb that goes with it:

identity   who a workload is: a SPIFFE id, proven by its certificate.
address    where something listens: an IP and port, or a host name and port.
workload   a pod (or another thing with addresses) and the service that groups several.
policy     who may call whom; `authorize` gives the verdict.
route      what a waypoint does with a request; `best` finds the rule.
balance    which endpoint gets the next connection; `pick` chooses.
health     what one proxy has learned of endpoints: latency, connections, failures.
snapshot   all of the above at one moment, indexed for look-ups.
refusal    why something was not done: a reason, not an exception.
proxy_protocol  what a proxy says of a connection's origin before its bytes.
revocation which certificates were taken back.
quota      shares of something bounded.
settings   what an operator says in the environment, read with all its faults at once.
record     what happened to one connection or request; logs and metrics are made of it.

Everything here but `mesh.net` is pure: no clock, no dice, no socket, no logging. Whoever needs time or chance hands it
in.
"""
