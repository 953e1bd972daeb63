"""The board: pages for people, drawn here, of what is kept. Nothing is computed anew and nothing is written."""
