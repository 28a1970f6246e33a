"""What one would write first."""
