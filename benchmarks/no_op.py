"""A process Cog that does nothing, for the round trip: what is measured is the way to it and back."""

import cogwork as cw


@cw.cog(idempotent=True)
def nothing(host: str) -> None:
    pass
