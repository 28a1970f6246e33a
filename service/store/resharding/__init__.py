"""A site that is split into another number of shards while it runs: its sessions go on, and what
its earlier shards have counted stays in every answer."""
