"""Nouns and pure decisions. Nothing here touches a socket, file, process, clock or random source."""
