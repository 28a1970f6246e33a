"""The HTTP interface: one module a resource, and what they share."""
