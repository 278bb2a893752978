"""A pod to send requests from: it waits, and does nothing by itself (see load.py)."""

import signal

if __name__ == "__main__":
    signal.pause()
