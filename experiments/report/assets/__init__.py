"""Template, style and scripts that every report carries."""
