"""The bucket and what is in it: objects, manifests, publishing, and the part of it that is on this machine's disk."""
