"""istiod-lite, the control plane: objects in, snapshots, certificates, waypoints and status out."""
