"""The two documents that the project comes from, as data: every sentence that describes a system, tried on ours."""
