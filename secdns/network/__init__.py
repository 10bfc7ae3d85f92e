"""Know what happens to the network that we are on.

state     what follows from all that is known of it; pure
portal    whether it wants people to sign in first
watch     notices that it changed, that the machine slept, that the clock was set
ways      how octets to an upstream leave this machine
clocks    sleep and jumps, from what three clocks say
netlink   the octets that Linux tells of links, addresses and routes in
learning  the resolvers and domains of each link, and when they change
links     what is read of them, whoever tells it; pure
bus       services on the system's D-Bus
"""
