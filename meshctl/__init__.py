"""The user's command: a mesh on one machine, waypoints, and answers about what the mesh decided."""
