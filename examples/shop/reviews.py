"""Reviews: a gRPC service with one method, `/shop.Reviews/Stars`, whose messages are JSON.

Generic handlers instead of generated code: on the wire it is gRPC all the same.
"""

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
from config import POD, PORT


def stars(request: dict[str, Any], context: grpc.ServicerContext) -> dict[str, Any]:
    """From one to five stars, always the same for the same item."""
    del context
    return {"stars": 1 + sum(request["item"].encode()) % 5, "pod": POD}


def serve(port: int) -> None:
    """Serve for ever."""
    method = grpc.unary_unary_rpc_method_handler(stars, json.loads, lambda answer: json.dumps(answer).encode())
    server = grpc.server(ThreadPoolExecutor(8))
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("shop.Reviews", {"Stars": method}),))
    server.add_insecure_port(f"[::]:{port}")
    server.start()
    server.wait_for_termination()


if __name__ == "__main__":
    serve(PORT)
