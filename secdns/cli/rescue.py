"""`secdns rescue`, as the help page and completion know it; it runs without click, see __main__."""

import click


@click.command()
@click.option("--for-now", is_flag=True, help="Until the service starts again: its units do this.")
def rescue(for_now: bool) -> int:
    """Put this machine's own DNS back, as it was before `secdns system on`.

    It needs neither the daemon nor a configuration nor a network, and nothing but Python itself.
    Where nothing was changed it says so, and shows whom the machine asks.
    """
    from secdns.osdns import rescue as work

    return work.rescue(for_now=for_now)
