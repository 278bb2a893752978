"""Who the echo server is: the pod's name and namespace, and its version."""

import os
import socket

POD = os.environ.get("POD_NAME", socket.gethostname())
NAMESPACE = os.environ.get("POD_NAMESPACE", "")
VERSION = os.environ.get("VERSION", "")
