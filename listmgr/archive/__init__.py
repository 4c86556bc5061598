"""The archive: the mbox that loses nothing, the rows that number it, the pages that people read."""
