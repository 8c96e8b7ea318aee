"""What stands in for storage in the cloud: a server that speaks S3, on this machine's loopback."""

import logging
import os

import pytest


@pytest.fixture(scope="session")
def s3_server():
    """A server with one bucket; it ends with the tests, as a thread of their process."""
    import boto3
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # a line a request
    server = ThreadedMotoServer("127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    variables = {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in variables.items():
            patch.setenv(name, value)
        boto3.client("s3").create_bucket(Bucket="bucket")
    yield variables
    server.stop()


@pytest.fixture
def s3(s3_server, monkeypatch) -> str:
    """The URL of a bucket, whose server the environment names."""
    for name, value in s3_server.items():
        monkeypatch.setenv(name, value)
    return "s3://bucket"
