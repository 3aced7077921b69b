"""Interventions: what goes beyond filling the stem, when a network is built, trained or used."""
