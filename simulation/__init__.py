"""What many copies and many nodes would do, of what a few are measured to do."""
