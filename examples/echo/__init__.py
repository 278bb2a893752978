"""An echo server and its client, in the shape that Gateway API's mesh conformance tests expect."""
