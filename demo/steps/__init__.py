"""The demonstration's steps, in order; each shows one thing and leaves the shop as the next one expects it."""
