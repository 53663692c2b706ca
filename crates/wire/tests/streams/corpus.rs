//! The laws for the streams of `fuzz/corpus`, which has a folder for each protocol.

use std::fs;
use std::path::PathBuf;

use crate::harness::Subject;
use crate::laws::assert_laws;

#[test]
fn every_stream_of_the_corpus_obeys_the_laws_of_every_protocol() {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus");
    let mut streams = Vec::new();
    let mut folders: Vec<_> =
        Subject::all_framed().iter().map(|subject| subject.protocol.name()).collect();
    folders.dedup();
    for folder in folders {
        let before = streams.len();
        for file in fs::read_dir(root.join(folder)).expect("the protocol has a folder") {
            streams.push(
                fs::read(file.expect("the folder is readable").path())
                    .expect("the file is readable"),
            );
        }
        assert!(streams.len() > before + 4, "{folder} has at least five streams");
    }
    assert!(streams.len() > 30);
    // A stream of one protocol is hostile input to the others.
    for stream in &streams {
        for subject in Subject::all_framed() {
            assert_laws(&subject, stream);
            assert_laws(&subject.limited(10), stream);
        }
    }
}
