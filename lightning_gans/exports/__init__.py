"""Trained models for people without this package: programs, a card and a calibration."""
