"""A mesh on one machine without Kubernetes: nodes and pods are network namespaces of one daemon."""
