"""Bytes and headers in, columns or dead letters out."""
