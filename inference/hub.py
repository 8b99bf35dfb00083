"""Files from the model hub: fetched once into its cache, with progress, and with errors that say what to do.

Knows repositories, files, tokens and licences. Does not know what is in the files.
"""

import errno
import hashlib
import logging
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from huggingface_hub import (
    HfApi,
    constants,
    get_hf_file_metadata,
    get_token,
    hf_hub_download,
    hf_hub_url,
    snapshot_download,
    try_to_load_from_cache,
)
from huggingface_hub.errors import (
    DisabledRepoError,
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RemoteEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from inference.errors import ModelUnavailable
from inference.sentences import Sentence

try:
    import httpx2 as httpx
except ImportError:  # an older client of the hub, which knows its predecessor
    import httpx  # type: ignore[no-redef]

logger = logging.getLogger(__name__)


ProgressCallback = Callable[[float, str], None]
"""Is told how far something is, from 0 to 1, and what is being done, in a short sentence."""


_WEIGHTS = (".bin", ".safetensors")


@dataclass(frozen=True, slots=True)
class Repository:
    """A repository on the hub.

    Attributes:
        id: "organisation/name".
        revision: A branch, tag or commit, or None for the main branch.
        kind: "model" or "space".
    """

    id: str
    revision: str | None = None
    kind: str = "model"

    def __str__(self) -> str:
        return self.id if self.revision is None else f"{self.id}@{self.revision}"


@dataclass(frozen=True, slots=True)
class Hub:
    """Where model files come from and where they are kept.

    Attributes:
        endpoint: The hub's address, or None for `HF_ENDPOINT` and else huggingface.co.
        cache: The folder of downloaded files, or None for the one of `HF_HOME` or `HF_HUB_CACHE`.
        token: An access token, or None for `HF_TOKEN` or the one of `hf auth login`; empty for none at all.
        timeout: Seconds to wait for an answer.
    """

    endpoint: str | None = None
    cache: Path | None = None
    token: str | None = None
    timeout: float = 10.0

    @property
    def address(self) -> str:
        """The hub's address without a slash at the end."""
        return (self.endpoint or constants.ENDPOINT).rstrip("/")

    @property
    def folder(self) -> Path:
        """The folder of downloaded files."""
        return Path(self.cache or constants.HF_HUB_CACHE).expanduser()

    @property
    def has_token(self) -> bool:
        """Whether requests carry an access token."""
        return bool(self.token if self.token is not None else get_token())

    def page(self, repository: Repository) -> str:
        """The address of a repository's page."""
        return f"{self.address}/{'spaces/' if repository.kind == 'space' else ''}{repository.id}"

    def file(self, repository: Repository, name: str, *, sha256: str | None = None) -> Path:
        """One file of a repository.

        Args:
            repository: Where it is.
            name: Its path in the repository.
            sha256: What it must hash to. A file that does is taken from the cache without asking the hub; one that
                does not is deleted from the cache.

        Raises:
            ModelUnavailable: It cannot be had, and why.
        """
        if sha256 is not None and (cached := self._cached_file(repository, name)) and _sha256(cached) == sha256:
            return cached
        try:
            # hf_hub_download itself retries for half a minute where there is no network; one short question does not.
            self.check_access(repository, name)
        except ModelUnavailable as error:
            if sha256 is None and (cached := self._cached_file(repository, name)):
                logger.info("Using the downloaded %s of %s. %s", name, repository, error)
                return cached
            raise
        try:
            path = Path(
                hf_hub_download(
                    repository.id,
                    name,
                    repo_type=repository.kind,
                    revision=repository.revision,
                    cache_dir=self.folder,
                    endpoint=self.endpoint,
                    token=self._token,
                    tqdm_class=_bars(lambda _: None),
                )
            )
        except Exception as error:
            raise ModelUnavailable(self.explain(error, repository, name)) from error
        if sha256 is not None and _sha256(path) != sha256:
            path.resolve().unlink(missing_ok=True)
            path.unlink(missing_ok=True)
            raise ModelUnavailable(
                Sentence(
                    "The file {name} from {page} is not the one that is expected (its SHA-256 differs), so it was "
                    "deleted and is not used.",
                    name=name,
                    page=self.page(repository),
                )
            )
        return path

    def checkout(
        self, repository: Repository, *, patterns: Sequence[str], progress: ProgressCallback | None = None
    ) -> Path:
        """A folder with the files of a repository whose names match; what is not in the cache is downloaded.

        Where the hub cannot be asked, files that were downloaded before are used.

        Args:
            repository: Where they are.
            patterns: Like "*.json". Pickled weights ("*.bin") are left out where there are safetensors.
            progress: Is told how far the download is; not called if there is nothing to download.

        Raises:
            ModelUnavailable: A file cannot be had, or the disk has no room, and what would help.
        """
        try:
            files, missing = self._plan(repository, patterns)
        except ModelUnavailable as error:
            if folder := self.cached(repository, patterns=patterns):
                logger.info("Using the downloaded files of %s. %s", repository, error)
                return folder
            raise
        free = free_disk(self.folder)
        if missing > free:
            raise ModelUnavailable(
                Sentence(
                    "{repository} needs {need} of disk for its download, and {free} are free in {folder}. Make room "
                    "there, or set HF_HOME to a folder on a larger disk.",
                    repository=str(repository),
                    need=gigabytes(missing),
                    free=gigabytes(free),
                    folder=str(self.folder),
                )
            )
        shown = -1

        def report(done: int) -> None:
            # Every report is logged, so one for each percent is enough.
            nonlocal shown
            percent = min(100, done * 100 // missing) if missing else 100
            if progress is not None and missing and percent > shown:
                shown = percent
                what = Sentence(
                    "Downloading {repository}: {done} of {all}",
                    repository=str(repository),
                    done=gigabytes(min(done, missing)),
                    all=gigabytes(missing),
                )
                progress(percent / 100, what)

        report(0)
        try:
            return Path(
                snapshot_download(
                    repository.id,
                    repo_type=repository.kind,
                    revision=repository.revision,
                    allow_patterns=files,
                    cache_dir=self.folder,
                    endpoint=self.endpoint,
                    token=self._token,
                    etag_timeout=self.timeout,
                    tqdm_class=_bars(report),
                )
            )
        except ModelUnavailable:  # of `progress`, which wants no more of it
            raise
        except Exception as error:
            raise ModelUnavailable(self.explain(error, repository)) from error

    def cached(self, repository: Repository, *, patterns: Sequence[str]) -> Path | None:
        """The folder of a repository that was downloaded before, or None if files are missing from it.

        Args:
            repository: Where the files came from.
            patterns: Like "*.json"; of weights, one kind is enough.
        """
        pickled = any(pattern.endswith(".bin") for pattern in patterns)
        for skipped in _WEIGHTS if pickled else _WEIGHTS[:1]:
            try:
                folder = Path(
                    snapshot_download(
                        repository.id,
                        repo_type=repository.kind,
                        revision=repository.revision,
                        allow_patterns=list(patterns),
                        ignore_patterns=[f"*{skipped}"],
                        cache_dir=self.folder,
                        local_files_only=True,
                    )
                )
            except (LocalEntryNotFoundError, HFValidationError):
                continue
            # Where the list of files was never asked for, whatever is there counts as all.
            weights = [name for name in patterns if name.endswith(_WEIGHTS) and not fnmatch(name, f"*{skipped}")]
            if not weights or any(any(folder.glob(pattern)) for pattern in weights):
                return folder
        return None

    def _plan(self, repository: Repository, patterns: Sequence[str]) -> tuple[list[str], int]:
        """Names of the files to have, and the bytes of those that are not in the cache."""
        try:
            info = HfApi(endpoint=self.endpoint, token=self._token).repo_info(
                repository.id,
                repo_type=repository.kind,
                revision=repository.revision,
                files_metadata=True,
                timeout=self.timeout,
            )
        except Exception as error:
            raise ModelUnavailable(self.explain(error, repository)) from error
        files = [
            sibling
            for sibling in getattr(info, "siblings", None) or ()
            if any(fnmatch(sibling.rfilename, pattern) for pattern in patterns)
        ]
        if any(file.rfilename.endswith(".safetensors") for file in files):
            files = [file for file in files if not file.rfilename.endswith(".bin")]
        blobs = self.folder / "--".join((f"{repository.kind}s", *repository.id.split("/"))) / "blobs"
        missing = 0
        for file in files:
            etag = file.lfs.sha256 if file.lfs is not None else file.blob_id
            if etag is None or not (blobs / etag).exists():
                missing += file.size or 0
        return [file.rfilename for file in files], missing

    def explain(self, error: BaseException, repository: Repository, name: str | None = None) -> Sentence:
        """Why something could not be had from the hub, in a sentence or two.

        Args:
            error: What was raised.
            repository: What was asked for.
            name: The file that was asked for, if it was one.
        """
        chain = list(_chain(error))
        fields: dict[str, object] = {
            "repository": str(repository),
            "id": repository.id,
            "revision": repository.revision,
            "kind": repository.kind,
            "name": name,
            "page": self.page(repository),
            "hub": self.address,
            "folder": str(self.folder),
        }
        for templates in (_TEMPLATES, _LAST_TEMPLATES):
            for link in chain:
                for kind, template in templates:
                    if isinstance(link, kind):
                        if isinstance(link, HfHubHTTPError):
                            fields["status"] = link.response.status_code
                        elif isinstance(link, OSError):
                            fields["why"] = link.strerror or type(link).__name__
                        text = template if isinstance(template, str) else template(link, self.has_token, name)
                        return Sentence(text, **fields)
        logger.warning("%s could not be fetched", repository, exc_info=error)
        fields["error"] = type(chain[-1]).__name__
        return Sentence(
            "{repository} could not be downloaded from {hub} ({error}). Try again; the log has the details.", **fields
        )

    @property
    def _token(self) -> str | bool | None:
        return False if self.token == "" else self.token

    def _cached_file(self, repository: Repository, name: str) -> Path | None:
        try:
            path = try_to_load_from_cache(
                repository.id, name, cache_dir=self.folder, revision=repository.revision, repo_type=repository.kind
            )
        except HFValidationError:
            return None
        return Path(path) if isinstance(path, str) else None

    def check_access(self, repository: Repository, name: str = "config.json") -> None:
        """Asks the hub whether a file could be downloaded, without downloading it.

        Raises:
            ModelUnavailable: It could not, and why.
        """
        try:
            get_hf_file_metadata(
                hf_hub_url(
                    repository.id,
                    name,
                    repo_type=repository.kind,
                    revision=repository.revision,
                    endpoint=self.endpoint,
                ),
                token=self._token,
                timeout=self.timeout,
                endpoint=self.endpoint,
            )
        except Exception as error:
            raise ModelUnavailable(self.explain(error, repository, name)) from error


def gigabytes(count: float) -> str:
    """A number of bytes for people, like "6.1 GB" or "12 MB"."""
    if count < 0.95e9:
        return f"{max(count, 0) / 1e6:.0f} MB" if count >= 1e6 or count <= 0 else f"{count / 1e6:.1g} MB"
    return f"{count / 1e9:.1f} GB"


def free_disk(folder: Path) -> int:
    """Free bytes where a folder is, or will be made."""
    for place in (folder, *folder.absolute().parents):
        if place.exists():
            return shutil.disk_usage(place).free
    return 0


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _bars(report: Callable[[int], None]) -> Any:
    """A stand-in for tqdm that shows nothing and reports the bytes of the download.

    Of a snapshot there are two bars in bytes, received and written, and one of files. Over plain HTTP the first two
    agree; over Xet they may differ, and the larger one is how far the download is.
    """
    counts: dict[int, float] = {}

    class Bar:
        def __init__(self, *_: object, **options: Any) -> None:
            self.n: float = options.get("initial") or 0
            self.total: float | None = options.get("total")
            self.format_dict: dict[str, object] = {}
            self._bytes = options.get("unit") == "B"

        def update(self, n: float | None = 1) -> None:
            self.n += n or 0
            if self._bytes:
                counts[id(self)] = self.n
                report(int(max(counts.values())))

        def __enter__(self) -> "Bar":
            return self

        def __exit__(self, *_: object) -> None:
            return None

        def nothing(self, *_: object, **__: object) -> None:
            """Whatever else a bar can do has nothing to show."""

        close = refresh = set_description = set_description_str = set_postfix_str = nothing

    return Bar


def _chain(error: BaseException) -> Iterator[BaseException]:
    """An error and what caused it, outermost first."""
    seen: set[int] = set()
    link: BaseException | None = error
    while link is not None and id(link) not in seen:
        seen.add(id(link))
        yield link
        link = link.__cause__ or link.__context__


_BAD_TOKEN = (
    "The hub refused the access token that is set while looking for {repository}: make a new one at "
    "{hub}/settings/tokens and set HF_TOKEN to it."
)

_CUT = "The download of {repository} from {hub} broke off before its end. Try again."

Template = str | Callable[[Any, bool, str | None], str]
"""A sentence in which what was asked for is filled in; or which one, by the error, whether there is a token, and the
name of the file that was asked for."""


def _gated(error: GatedRepoError, has_token: bool, _: str | None) -> str:
    if error.response.status_code == 403:
        return (
            "The licence of {id} is not accepted yet by the account of this token: accept it at {page}, then try again."
        )
    if has_token:
        return (
            "The hub does not accept the access token that is set, and {id} needs one: make a new one at "
            "{hub}/settings/tokens and set HF_TOKEN to it."
        )
    return (
        "{id} needs a login: set HF_TOKEN to an access token, or run “hf auth login”, and accept the licence at {page}."
    )


def _no_repository(error: RepositoryNotFoundError, has_token: bool, _: str | None) -> str:
    if error.response.status_code == 401:
        return (
            _BAD_TOKEN
            if has_token
            else "There is no {kind} {id} that can be seen at {hub} without a login. Check the name; if it is private, "
            "set HF_TOKEN to an access token, or run “hf auth login”."
        )
    if has_token:
        return "There is no {kind} {id} at {hub}, or this access token may not see it. Check the name."
    return "There is no {kind} {id} at {hub}. Check the name."


def _no_file(_: RemoteEntryNotFoundError, __: bool, name: str | None) -> str:
    return "{repository} has no file {name}." if name else "A file of {repository} is missing on the hub."


def _http(error: HfHubHTTPError, _: bool, __: str | None) -> str:
    if error.response.status_code == 401:
        return _BAD_TOKEN
    if error.response.status_code == 403:
        return (
            "This access token may not read {repository}. If it is a fine-grained token, give it access to public "
            "gated repositories at {hub}/settings/tokens."
        )
    if error.response.status_code == 429:
        return "The hub asks for fewer requests (429) and did not give {repository}. Try again in a few minutes."
    return "The hub at {hub} answered with an error ({status}) when asked for {repository}. Try again later."


def _system(error: OSError, _: bool, __: str | None) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "The disk of {folder} is full, so {repository} could not be downloaded: make room, then try again."
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return "{folder} cannot be written, so {repository} cannot be kept: set HF_HOME to a folder that can."
    if error.errno is None and "Consistency check failed" in str(error):
        return _CUT
    return "{repository} could not be downloaded ({why}). Try again."


# Looked through in this order for each error of a chain, so the more special kind stands first.
_TEMPLATES: Sequence[tuple[type[BaseException], Template]] = (
    (GatedRepoError, _gated),
    (RevisionNotFoundError, "{id} has no revision “{revision}”."),
    (RepositoryNotFoundError, _no_repository),
    (RemoteEntryNotFoundError, _no_file),
    (DisabledRepoError, "Access to {id} has been disabled on the hub; {page} may say why."),
    (HfHubHTTPError, _http),
    (
        OfflineModeIsEnabled,
        "{repository} has not been downloaded to {folder} yet, and HF_HUB_OFFLINE forbids asking the hub: unset it, or "
        "download the model first.",
    ),
    (
        httpx.TimeoutException,
        "The hub at {hub} did not answer in time, so {repository} could not be fetched. Check the network and try "
        "again.",
    ),
    (httpx.RemoteProtocolError, _CUT),
    (httpx.ReadError, _CUT),
    (
        httpx.TransportError,
        "The hub at {hub} cannot be reached, and {repository} is not in {folder} yet. Check the network, or download "
        "it first where there is one.",
    ),
    (
        HFValidationError,
        "“{id}” is not the id of a model on the hub; an id looks like google/paligemma2-3b-mix-448.",
    ),
)

# Only for a chain without any of those above: the hub's client wraps what happened in errors of these kinds.
_LAST_TEMPLATES: Sequence[tuple[type[BaseException], Template]] = (
    (EntryNotFoundError, "{repository} has not been downloaded to {folder} yet, and the hub cannot be asked."),
    (OSError, _system),
)
