"""Renderings of the leaderboard: Markdown, a page, CSV, a figure, a terminal."""
