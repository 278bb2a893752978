"""The node proxy: a keeper, a supervisor, and a worker for every pod, forked from a zygote."""
