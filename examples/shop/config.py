"""What a shop program is told by its pod: who it is and where its neighbours are."""

import os
import socket

POD = os.environ.get("POD_NAME", socket.gethostname())
VERSION = os.environ.get("VERSION", "v1")
PORT = int(os.environ.get("PORT", "8080"))
CATALOG = os.environ.get("CATALOG", "catalog:80")
REVIEWS = os.environ.get("REVIEWS", "reviews:9000")
STOCK = os.environ.get("STOCK", "stock:7000")
