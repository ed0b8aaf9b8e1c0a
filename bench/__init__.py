"""Measurements: data sets, load generators, scenarios, peers, the capacity model and its reports."""
