"""Questions about pictures (how near, what moves, who), each behind one protocol."""
