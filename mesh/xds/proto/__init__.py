"""The protocol files, and `python -m mesh.xds.proto`, which makes `mesh/xds/pb` of them."""
