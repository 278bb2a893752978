"""The exporter of spans: a process of its own, so that neither its work nor a slow receiver is felt by traffic.

    a proxy -- lines of spans over a socket --> exporter -- OTLP over gRPC or HTTP --> a receiver
                                     <-- how many came there --

It holds no key, serves nobody, and ends with the proxy.
"""
