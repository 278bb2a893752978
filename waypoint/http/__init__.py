"""HTTP as one set of events over two codecs, so that everything above knows no version.

events    what is said: a request or response head, body bytes, trailers, the end, a reset.
head      the head of an HTTP/1.1 message as text, read strictly.
framing   where the body of an HTTP/1.1 message ends.
http1     a connection that speaks HTTP/1.1: bytes in, events out, and the reverse.
http2     the same over HTTP/2.
link      a codec on a byte stream: reads it, writes it, and meets every exchange in a bounded inbox.

A codec is a state machine without input or output of its own (`codec.Codec` is what every one of them can do).
"""
