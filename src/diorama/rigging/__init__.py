"""From pictures of parts to a rig: parts, a surface, a skeleton, skin weights (SP4D, and section 3 of its spec)."""
