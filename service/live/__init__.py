"""Live streams: one poller for each watched site, and what its subscribers are told."""
