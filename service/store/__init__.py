"""Presence in Redis: what is written, what is read, and the batches in between.

Heartbeats: writer → batching/batcher, with a lane for each server → resharding/in_turn →
batching/batch_sender → runner.
Reads: reader and listings → runner. Departures: sweeper → sweeps. `store` puts them together.
"""
