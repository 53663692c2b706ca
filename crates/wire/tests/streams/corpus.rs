//! The laws over the streams of `fuzz/corpus`, a folder for each protocol.

use std::fs;
use std::path::PathBuf;

use crate::harness::Subject;
use crate::laws::assert_laws;

#[test]
fn every_stream_of_the_corpus_obeys_the_laws_in_every_protocol() {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus");
    let mut streams = Vec::new();
    let mut folders: Vec<_> = Subject::framed().iter().map(|one| one.protocol.name()).collect();
    folders.dedup();
    for folder in folders {
        let before = streams.len();
        for file in fs::read_dir(root.join(folder)).expect("a folder of the protocol") {
            streams.push(fs::read(file.expect("a file").path()).expect("a file can be read"));
        }
        assert!(streams.len() > before + 4, "{folder} has a few streams");
    }
    assert!(streams.len() > 30);
    // What is a stream of one protocol is a hostile one for the others.
    for stream in &streams {
        for subject in Subject::framed() {
            assert_laws(&subject, stream);
            assert_laws(&subject.limited(10), stream);
        }
    }
}
