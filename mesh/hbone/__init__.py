"""HBONE: TCP connections as CONNECT streams of HTTP/2 (RFC 9113, section 8.5). Pure: bytes in, calls and bytes out."""
