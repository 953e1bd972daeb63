"""What the services agree on (contracts) and what every process needs (runtime). Two rooms, a wall between."""
