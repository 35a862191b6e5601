"""The side-by-side comparison: ringway and its rivals, driven and measured by one hand."""
