"""Which options reach which store."""

from __future__ import annotations

import json
import pathlib
from typing import Any

import pytest

from runs.store import NotReadable, StoreOptions, may_sign
from runs.storesettings import WrongSetting, from_environment, of_query


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("KFDASH_STORES", "KFDASH_STORE_OPTIONS", "AWS_ENDPOINT_URL", "AWS_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)


def options(monkeypatch: pytest.MonkeyPatch, stores: Any) -> StoreOptions:
    monkeypatch.setenv("KFDASH_STORES", stores if isinstance(stores, str) else json.dumps(stores))
    return StoreOptions.from_environment("/data/artifacts")


def test_the_longest_prefix_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    found = options(
        monkeypatch,
        [
            {"prefix": "s3://data", "options": {"region": "eu-west-1"}},
            {"prefix": "s3://data/team/a/", "options": {"region": "eu-west-2"}},
        ],
    )
    assert found.config("s3://data/x")["region"] == "eu-west-1"
    assert found.config("s3://data/team/a/x")["region"] == "eu-west-2"
    assert found.config("s3://data/team/a")["region"] == "eu-west-2"
    assert found.config("s3://data/team/ab")["region"] == "eu-west-1"
    assert found.config("s3://datalake/x") == {}


def test_store_options_by_scheme_stand_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KFDASH_STORE_OPTIONS", '{"buckets": {"s3": {"region": "us-west-2"}}, "allow_private": true}')
    found = options(monkeypatch, [{"prefix": "s3://mine", "options": {"region": "eu-west-1"}}])
    assert (found.config("s3://mine/x"), found.config("s3://other/x")) == ({"region": "eu-west-1"}, {"region": "us-west-2"})
    assert found.allow_private


def test_a_file_is_read_and_secrets_come_from_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> None:
    (tmp_path / "stores.yaml").write_text("- prefix: s3://mine\n  options: {endpoint: http://minio:9000}\n  secret: TEAM_A\n")
    monkeypatch.setenv("TEAM_A_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("TEAM_A_SECRET_ACCESS_KEY", "word")
    found = options(monkeypatch, str(tmp_path / "stores.yaml"))
    assert found.config("s3://mine/x") == {
        "endpoint": "http://minio:9000",
        "access_key_id": "key",
        "secret_access_key": "word",
    }


def test_kubeflow_s_providers_are_understood(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLPIPELINE_MINIO_ARTIFACT_ACCESSKEY", "key")
    monkeypatch.setenv("MLPIPELINE_MINIO_ARTIFACT_SECRETKEY", "word")
    reference = {"secretName": "mlpipeline-minio-artifact", "accessKeyKey": "accesskey", "secretKeyKey": "secretkey"}
    found = options(
        monkeypatch,
        {
            "providers": {
                "minio": {
                    "default": {
                        "endpoint": "minio-service.kubeflow:9000",
                        "region": "minio",
                        "disableSSL": True,
                        "credentials": {"fromEnv": False, "secretRef": reference},
                    }
                },
                "s3": {
                    "default": {"region": "us-east-1", "credentials": {"fromEnv": True}},
                    "overrides": [{"bucketName": "data", "keyPrefix": "team/a", "region": "eu-west-1"}],
                },
            }
        },
    )
    assert found.config("minio://mlpipeline/v2/x") == {
        "endpoint": "http://minio-service.kubeflow:9000",
        "region": "minio",
        "access_key_id": "key",
        "secret_access_key": "word",
    }
    assert found.config("s3://data/team/a/x") == {"region": "eu-west-1"}
    assert found.config("s3://data/team/b") == {"region": "us-east-1"}


def test_a_root_s_query_adds_to_what_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    found = options(monkeypatch, [{"prefix": "s3://mine", "options": {"region": "eu-west-1", "access_key_id": "k"}}])
    own = found.for_root("s3://mine/runs?endpoint=minio:9000&disableSSL=true&s3ForcePathStyle=true")
    assert own.config("s3://mine/runs/x") == {
        "region": "eu-west-1",
        "access_key_id": "k",
        "endpoint": "http://minio:9000",
        "virtual_hosted_style_request": "false",
    }
    assert own.config("s3://mine/other") == {"region": "eu-west-1", "access_key_id": "k"}
    assert found.for_root("s3://mine/runs") is found
    with pytest.raises(NotReadable, match="'secret_access_key', which is not known"):
        found.for_root("s3://mine/runs?secret_access_key=x")
    assert of_query("s3://mine/runs", None) is None


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("/no/such/file.yaml", "cannot be read"),
        ("[", "neither YAML nor JSON"),
        ('{"s3": {}}', "must be a list"),
        ('[{"options": {}}]', "needs a 'prefix'"),
        ('[{"prefix": "ftp://x"}]', "no prefix of a store"),
        ('[{"prefix": "minio://kfdash/x"}]', "no prefix of a store"),
        ('[{"prefix": "s3://x", "key": 1}]', "unknown member 'key'"),
        ('[{"prefix": "s3://x", "options": []}, 5]', "needs a 'prefix'"),
        ('[{"prefix": "s3://x", "options": "a"}]', "must be an object"),
        ('{"providers": {"ftp": {}}}', "'ftp' in KFDASH_STORES is not known"),
    ],
)
def test_what_says_nothing_usable_is_refused_with_a_sentence(monkeypatch: pytest.MonkeyPatch, text: str, why: str) -> None:
    monkeypatch.setenv("KFDASH_STORES", text)
    with pytest.raises(WrongSetting, match=why):
        from_environment()
    with pytest.raises(NotReadable, match=why):
        StoreOptions.from_environment("/data/artifacts")


def test_pods_get_addresses_of_buckets_that_they_can_reach(monkeypatch: pytest.MonkeyPatch) -> None:
    found = options(
        monkeypatch,
        [
            {"prefix": "s3://far"},
            {"prefix": "s3://here", "options": {"endpoint": "http://127.0.0.1:9000"}},
            {"prefix": "s3://said", "options": {"endpoint": "http://localhost:9000"}, "sign": True},
            {"prefix": "s3://never", "sign": False},
        ],
    )
    assert [may_sign(f"s3://{name}/x", found) for name in ("far", "here", "said", "never")] == [True, False, True, False]
    assert not may_sign("minio://kfdash/x", found)
    assert not may_sign("https://example.org/x", found)
