from emsym.run.listener import RunListener


def test_a_plain_listener_hears_everything_and_does_nothing() -> None:
    listener = RunListener()
    listener.phase("cells", [1.0])
    listener.advance("first", 1.0, error="it broke")
    listener.say("a sentence")
    with listener.downloading() as download:
        download.bytes("file", 1, None)
        download.say("done")
    assert download is listener
