"""What `meshctl` can be told to do, one module per group of verbs. Exit codes are listed in `meshctl.failure`."""
