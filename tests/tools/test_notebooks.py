"""The notebooks of the documentation run top to bottom, but for the cell that installs."""

from pathlib import Path

import pytest
from user_process import user_environment

nbformat = pytest.importorskip("nbformat", reason="pip install '.[docs]'")
nbclient = pytest.importorskip("nbclient", reason="pip install '.[docs]'")
pytest.importorskip("ipykernel", reason="pip install '.[docs]'")

NOTEBOOKS = sorted((Path(__file__).parents[2] / "docs" / "notebooks").glob("*.ipynb"))

pytestmark = pytest.mark.tools


@pytest.mark.filterwarnings("ignore")  # of Jupyter's own parts
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_runs(path, tmp_path, monkeypatch):
    for name, value in user_environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("XLA_FLAGS", raising=False)
    notebook = nbformat.read(path, as_version=4)
    install = [cell for cell in notebook.cells if "install" in cell.metadata.get("tags", ())]
    assert len(install) == 1
    assert notebook.cells.index(install[0]) == 1
    notebook.cells.remove(install[0])
    client = nbclient.NotebookClient(
        notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}}
    )
    client.execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    assert not [output for output in outputs if output.get("name") == "stderr"]
    assert any("image/png" in output.get("data", ()) for output in outputs)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_no_outputs_are_kept(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    assert not any(cell.get("outputs") for cell in notebook.cells)
