"""Tests that read exports with readers that others wrote."""
