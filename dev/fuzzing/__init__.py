"""A seeded differential test of Owlake's answers; see README.md."""
