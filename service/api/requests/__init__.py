"""What comes in over HTTP, as msgspec structs, with the only validation there is."""
