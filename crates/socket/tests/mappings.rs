//! A mapping never ends the process, whatever file a peer has sent.
#![allow(missing_docs)]

use std::os::fd::AsFd;

use fdwire_socket::{Errno, Mapping, memfd, memfd_of, seal};

const SIZE: usize = 256 * 1024;

#[test]
fn a_sealed_file_of_which_every_block_is_allocated_is_mapped() {
    let file = memfd_of(c"full", &[7; SIZE]).expect("a memfd");
    assert!(Mapping::of(&file).expect("it is readable").is_none(), "it is not sealed");
    seal(file.as_fd()).expect("it can be sealed");
    let mapping = Mapping::of(&file).expect("it is readable").expect("it is mapped");
    assert_eq!(mapping.len(), SIZE);
}

#[test]
fn a_file_with_holes_is_not_mapped() {
    for written in [0, 1, SIZE / 2] {
        let file = memfd(c"sparse", SIZE as u64).expect("a memfd");
        rustix::io::pwrite(&file, &vec![7; written], 0).expect("there is room");
        seal(file.as_fd()).expect("it can be sealed");
        assert!(Mapping::of(&file).expect("it is readable").is_none(), "{written} bytes");
    }
}

#[test]
fn a_file_that_is_not_in_memory_is_refused() {
    let file = std::fs::File::open("/dev/null").expect("it exists");
    assert_eq!(Mapping::of(&file).err(), Some(Errno::INVAL));
}
