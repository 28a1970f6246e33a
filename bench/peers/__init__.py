"""The same job written otherwise, as small and as fair as we can."""
