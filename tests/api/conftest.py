from collections.abc import Iterator

import pytest
from gradio_client import Client

from tests.conftest import Served
from tests.support.stand_ins import _fresh, pipeline, settings, url  # noqa: F401 (fixtures)


@pytest.fixture(scope="session")
def client(served: Served, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    client = Client(served.url, verbose=False, download_files=str(tmp_path_factory.mktemp("downloads")))
    yield client
    client.close()
