//! Handles are used and freed as libuv requires. Miri checks every access to memory here.
#![allow(unsafe_code, missing_docs)]

mod fake_loop;

use std::cell::{Cell, RefCell};
use std::io::pipe;
use std::os::fd::AsFd;
use std::rc::Rc;

use fake_loop::Loop;
use fdwire_uv::{AboutToWait, BeforeWait, Poll};

/// `uv_handle_type` of the handles.
const IDLE: i32 = 6;
const POLL: i32 = 8;
const PREPARE: i32 = 9;

type Slot<T> = Rc<RefCell<Option<T>>>;

fn poll(uv_loop: &Rc<Loop>, on_readable: impl Fn() + 'static) -> Result<Poll, i32> {
    let (reader, _writer) = pipe().expect("a pipe");
    // SAFETY: the loop is that of this test, which turns it until all handles are closed.
    unsafe { Poll::start(uv_loop.as_ptr(), reader.as_fd(), Box::new(on_readable)) }
}

fn before_wait(
    uv_loop: &Rc<Loop>,
    skips: impl Fn(&AboutToWait) -> bool + 'static,
) -> Result<BeforeWait, i32> {
    // SAFETY: as above.
    unsafe { BeforeWait::start(uv_loop.as_ptr(), Box::new(skips)) }
}

/// Returns a counter, and a function that increments it.
fn counter() -> (Rc<Cell<u32>>, Box<dyn FnOnce()>) {
    let count = Rc::new(Cell::new(0));
    let counted = Rc::clone(&count);
    (count, Box::new(move || counted.set(counted.get() + 1)))
}

#[test]
fn a_poll_calls_its_function_until_it_is_closed_and_is_freed_then() {
    let uv_loop = Rc::new(Loop::default());
    let calls = Rc::new(Cell::new(0));
    let counted = Rc::clone(&calls);
    let handle = poll(&uv_loop, move || counted.set(counted.get() + 1)).expect("it starts");
    assert_eq!(uv_loop.referenced(), 0);
    handle.set_ref(true);
    assert_eq!(uv_loop.referenced(), 1);
    uv_loop.turn();
    uv_loop.turn();
    assert_eq!(calls.get(), 2);
    let (closed, on_closed) = counter();
    handle.close(on_closed);
    assert_eq!(closed.get(), 0, "not inside the call");
    uv_loop.turn();
    assert_eq!((calls.get(), closed.get(), uv_loop.open()), (2, 1, 0));
    // The function is dropped with the handle.
    assert_eq!(Rc::strong_count(&calls), 1);
}

#[test]
fn a_poll_that_its_own_function_closes_stays_valid_while_that_runs_and_turns_the_loop() {
    let uv_loop = Rc::new(Loop::default());
    let slot: Slot<Poll> = Rc::default();
    let text = Rc::new(String::from("captured"));
    let captured = (Rc::clone(&uv_loop), Rc::clone(&slot), Rc::clone(&text));
    let handle = poll(&uv_loop, move || {
        let (uv_loop, slot, text) = &captured;
        if let Some(handle) = slot.take() {
            handle.close(Box::new(|| {}));
            // libuv calls the close callback here.
            uv_loop.turn();
            assert_eq!(text.as_str(), "captured");
        }
    });
    slot.replace(Some(handle.expect("it starts")));
    uv_loop.turn();
    assert_eq!(uv_loop.open(), 0);
    assert_eq!(Rc::strong_count(&text), 1);
}

#[test]
fn a_poll_that_cannot_start_leaves_nothing_in_the_loop() {
    for fails in [POLL, -POLL] {
        let uv_loop = Rc::new(Loop::default());
        uv_loop.fails.set(fails);
        assert_eq!(poll(&uv_loop, || panic!("it has not started")).err(), Some(-12));
        uv_loop.turn();
        assert_eq!(uv_loop.open(), 0);
    }
}

#[test]
fn the_loop_waits_unless_the_function_says_no() {
    let uv_loop = Rc::new(Loop::default());
    let skips = Rc::new(Cell::new(true));
    let asked = Rc::clone(&skips);
    let handle = before_wait(&uv_loop, move |about| !about.has_work() && asked.get());
    uv_loop.timeout.set(-1);
    uv_loop.turn();
    assert!(uv_loop.skips_wait());
    skips.set(false);
    uv_loop.turn();
    assert!(!uv_loop.skips_wait());
    skips.set(true);
    uv_loop.timeout.set(0);
    uv_loop.turn();
    assert!(!uv_loop.skips_wait(), "it has work");
    let (closed, on_closed) = counter();
    handle.expect("it starts").close(on_closed);
    uv_loop.turn();
    assert_eq!(closed.get(), 0, "one of two handles is closed");
    uv_loop.turn();
    assert_eq!((closed.get(), uv_loop.open()), (1, 0));
}

#[test]
fn a_function_may_close_its_handles_and_turn_the_loop_before_it_says_no() {
    let uv_loop = Rc::new(Loop::default());
    let slot: Slot<BeforeWait> = Rc::default();
    let (inner, own) = (Rc::clone(&uv_loop), Rc::clone(&slot));
    let handle = before_wait(&uv_loop, move |_| {
        if let Some(handle) = own.take() {
            handle.close(Box::new(|| {}));
            // Both handles are freed here.
            inner.turn();
            inner.turn();
        }
        true
    });
    slot.replace(Some(handle.expect("it starts")));
    uv_loop.turn();
    assert_eq!(uv_loop.open(), 0);
}

#[test]
fn a_function_of_which_a_handle_cannot_start_leaves_nothing_in_the_loop() {
    for fails in [IDLE, PREPARE] {
        let uv_loop = Rc::new(Loop::default());
        uv_loop.fails.set(fails);
        assert_eq!(before_wait(&uv_loop, |_| true).err(), Some(-12));
        uv_loop.turn();
        assert_eq!(uv_loop.open(), 0);
    }
}
