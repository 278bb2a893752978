"""What happens to connections when a part of the mesh is killed, upgraded or comes and goes, under load.

steady    the load and its server; runs inside pods.
mesh      a lab as these scenarios use it.
scenes    every scenario: what is done to the mesh while the load runs.
table     all of them in a row, and what became of the connections.
"""
