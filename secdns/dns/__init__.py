"""Wire data: everything secdns knows about the octets of a DNS message.

Pure, and standard library only: no I/O, no clock, no randomness. An owner name is its
uncompressed wire form as ``bytes``; a message between packages is ``bytes`` too.
"""
