"""The commands of index-builder, by what they are about. Each is a thin rim around a function elsewhere."""
