"""Tells other systems what happens on a site: derives it from the log, signs it, sends it."""
