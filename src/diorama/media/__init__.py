"""Bytes to values and back: containers, codecs, stereo packing, boxes, scenes on disk."""
