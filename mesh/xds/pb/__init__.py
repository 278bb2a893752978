"""Generated from `mesh/xds/proto` by `make generate`; not edited by hand."""
