"""The demonstration that `make demo` runs: every claim is shown on the running mesh, through meshctl alone."""
