"""Values only: frames and clocks, layers, cameras; nothing here knows a file format."""
