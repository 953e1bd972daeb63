"""What the services agree on (contracts, workdays) and what every process needs (runtime). Rooms with walls between."""
