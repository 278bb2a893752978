"""A small shop: HTTP, gRPC and a server-first TCP protocol, each program an ordinary one that knows no mesh."""
