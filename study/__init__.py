"""The reproduction study, `python -m study`: it trains and evaluates the papers' comparisons."""
