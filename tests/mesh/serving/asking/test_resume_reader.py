import pickle

from mesh.gateway.resuming.resume_request import ResumeRequest, SaidText, encode_resume_request
from mesh.serving.asking.resume_reader import read_apart

REQUEST = ResumeRequest("/completion", {"prompt": "a"}, None, SaidText("", "a", 1), "fast")


def test_what_is_read_and_what_is_wrong_both_come_out() -> None:
    assert pickle.loads(read_apart(encode_resume_request(REQUEST))) == (REQUEST, b'{"prompt":"a"}')
    assert "no" in pickle.loads(read_apart(b'{"path": NaN}'))
