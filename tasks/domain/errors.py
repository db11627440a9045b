"""The errors poolstar raises.

PoolstarError
├── BadInput                what the user gave cannot be used; says what was expected
│   ├── ImageRefused        one image cannot be a source (the batch goes on)
│   ├── ShapeError          two arrays that must match do not
│   └── BadParameters       a parameter, a folder or a kind is wrong (the run stops at once)
├── ModelSetError           weights are missing, corrupt, or not the ones named
├── ArchiveError            a pool cannot be read or written
│   ├── PoolBroken          its files are damaged
│   ├── PoolLocked          another run is writing
│   ├── PoolMoved           another run has landed since this one looked
│   ├── ModelSetMismatch    it was measured by another embedder
│   └── UnknownVersion      no such version or row
├── ServerUnreachable       no Prefect server answers where it should, or it lets nobody in
├── StorageRefused          object storage does not know the credentials, or the bucket
└── TransientError          time may heal it; the only error a stage retries
"""


class PoolstarError(Exception):
    """Root of every error that poolstar raises on purpose."""


class BadInput(PoolstarError, ValueError):
    """What was given cannot be used."""


class ImageRefused(BadInput):
    """One image cannot be a source; its message is the reason shown in the funnel."""


class ShapeError(BadInput):
    """Two arrays that must match do not."""


class BadParameters(BadInput):
    """A parameter is out of its domain; the run stops before any work."""


class ModelSetError(PoolstarError):
    """Weights are missing, corrupt, or not the ones named."""


class ArchiveError(PoolstarError):
    """A pool cannot be read or written."""


class PoolBroken(ArchiveError):
    """The pool's files are damaged or incomplete."""


class PoolLocked(ArchiveError):
    """Another run holds the pool's write lock."""


class PoolMoved(ArchiveError):
    """Another run has landed since this one looked at the pool; judged anew, it can land."""


class ModelSetMismatch(ArchiveError):
    """The pool's embeddings come from another embedder and cannot be compared."""


class UnknownVersion(ArchiveError):
    """The pool has no such version or row."""


class ServerUnreachable(PoolstarError):
    """No Prefect server answers at the configured address, or it refuses the credentials."""


class StorageRefused(PoolstarError):
    """Object storage does not know the credentials, or has no such bucket."""


class TransientError(PoolstarError):
    """A failure that time may heal: a network, a full GPU, a busy disk."""
