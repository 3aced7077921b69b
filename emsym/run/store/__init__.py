"""The store: a folder of records, which several runs may share."""
