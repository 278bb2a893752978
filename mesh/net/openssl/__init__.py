"""Settings of the OpenSSL beneath Python's ssl."""
