"""One small client a file for each outside service; tested against a local server."""
