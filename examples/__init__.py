"""Applications to run in the mesh, and to test it with."""
