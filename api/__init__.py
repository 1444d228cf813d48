"""HTTP only: parse, call, format."""
