"""The data of a group of people, validated once at the edge and kept as lanes."""
