"""The page `index.html` over all predicted videos."""
