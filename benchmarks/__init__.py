"""Measurements of time and memory: ``make bench`` runs them all and writes docs/performance.md."""
