"""Ratios to a peer: the shipped programs in a lab beside real Envoy doing the same work in the same run."""
