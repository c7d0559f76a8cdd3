"""Predict and learn."""
