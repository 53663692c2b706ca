//! Each target with each input of its corpus, and with those of the others, which are hostile too.
#![allow(missing_docs)]

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

fn corpus() -> BTreeMap<String, Vec<Vec<u8>>> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("corpus");
    let mut corpus = BTreeMap::new();
    for folder in fs::read_dir(root).expect("the corpus is readable") {
        let folder = folder.expect("the corpus is readable");
        let files = fs::read_dir(folder.path()).expect("the folder is readable");
        let inputs = files.map(|file| {
            fs::read(file.expect("the folder is readable").path()).expect("the file is readable")
        });
        corpus.insert(folder.file_name().to_string_lossy().into_owned(), inputs.collect());
    }
    corpus
}

#[test]
fn the_corpus_has_a_folder_for_each_target_and_no_other() {
    let mut names: Vec<_> = fdwire_fuzz::targets().iter().map(|target| target.name).collect();
    names.sort_unstable();
    assert_eq!(corpus().into_keys().collect::<Vec<_>>(), names);
}

#[test]
fn every_target_accepts_every_input() {
    let corpus = corpus();
    for target in fdwire_fuzz::targets() {
        let own = corpus.get(target.name);
        assert!(own.is_some_and(|inputs| inputs.len() > 4), "{} has five inputs", target.name);
        for input in corpus.values().flatten() {
            target.run(input);
        }
    }
}
