"""The description of the HTTP interface, as a document and as a page."""
