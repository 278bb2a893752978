"""The node proxy: a worker process per enrolled pod, the supervisor that tells them of the mesh, and their keeper."""
