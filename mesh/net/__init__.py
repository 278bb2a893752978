"""The drivers of the proxies, on trio: the only part of `mesh` that touches sockets, clocks and files.

openssl  which suites are preferred.
tls      certificates to TLS, SPIFFE checks included.
relay    the hot loop: one epoll inside one trio task moves the bytes of every established connection.
tunnel   one HBONE connection, and the CONNECT streams on it.
pool     which tunnel a new stream goes on.
ads      configuration from the control plane; certs: certificates from it.
crlfile  the operator's revocation lists, followed.
admin    small HTTP listeners for metrics, readiness and inspection.
accesslog, metrics   what is told of every record.
"""
