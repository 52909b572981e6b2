"""The theatre: a procedural world of people, creatures and stages, rendered with complete truth."""
