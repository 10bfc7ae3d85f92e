"""The tray: how secdns is, in the corner of the screen, and what a person does about it, by mouse.

    view.py       what is shown: the daemon's last answer, or why there is none; pure
    texts.py      make words of others harmless in a menu; pure
    menu.py       view -> the items of the menu and what each does; pure
    notices.py    which changes a person is told of unasked; pure
    icons.py      the icons, drawn from icons/*.svg
    feed.py       follow the daemon, so that a view is never older than some seconds
    actions.py    do what an item stands for, and give errors as words
    dbusmenu.py   the menu on D-Bus: com.canonical.dbusmenu
    sni.py        the icon on D-Bus: StatusNotifierItem, and notifications; Linux and the like
    pystray_.py   the same on Windows and macOS

A process of its own, without a DNS engine: all it knows it asks of the daemon over the local API. If that
does not answer, this says so; it never shows from memory that all is well.
"""
