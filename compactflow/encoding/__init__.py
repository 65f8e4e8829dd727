"""Tables of any columns as numbers and back: categories, dates, words, gaps."""
