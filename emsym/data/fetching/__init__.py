"""Fetching: a card's files are downloaded, verified, unpacked and found again."""
