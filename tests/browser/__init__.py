"""Tests in a real browser: Debian's Chromium, the real service, a Valkey of its own."""
