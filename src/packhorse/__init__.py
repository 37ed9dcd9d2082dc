"""Packhorse."""
