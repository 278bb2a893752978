"""A namespace's layer 7 proxy: takes tunnels for services, decides on each request, and tunnels on to an endpoint."""
