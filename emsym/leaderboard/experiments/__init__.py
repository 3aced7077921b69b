"""Experiments: a report for each question that the cells of leaderboards answer."""
