//! What the hot functions do that send: they take messages from JavaScript, and return numbers.

use fdwire_channel::{Channel, OVERHEAD, Payload, SendError, Sent};
use fdwire_socket::{Address, Errno};
use fdwire_wire::codec::Unframeable;
use fdwire_wire::json;

use crate::call::Call;
use crate::fds::lend;
use crate::gathered;
use crate::record::word;
use crate::state::State;
use crate::table::{
    FDS_OUT, FDS_OUT_MAX, HAS_DELIMITER, NO_ROOM_FOR_FILE, QUEUE_FULL, ROOM, TOO_LONG,
};

/// Sends the elements of a JSON array until one fails. Returns the number of those that were sent or
/// queued, and the result for the last one.
///
/// A stream takes many at once, as far as none can exceed a limit.
pub(crate) fn send_elements<const N: usize>(
    call: &Call<N>,
    state: &mut State,
    array: &[u8],
    to: Option<&Address>,
) -> (i32, Result<Sent, SendError>) {
    let (mut taken, mut last) = (0, Ok(Sent::Now));
    let mut elements = json::elements(array).peekable();
    while last.is_ok() && elements.peek().is_some() {
        let mut room = state.reactor.channel(call.channel()).map_or(0, Channel::room);
        let gathers = room > 0;
        let fitting = std::iter::from_fn(|| {
            let element = elements.next_if(|element| element.len() + OVERHEAD <= room)?;
            room -= element.len() + OVERHEAD;
            taken += 1;
            Some((element, true))
        });
        if gathers {
            last = state.reactor.gather(call.channel(), fitting).map(|()| Sent::Now);
        }
        if last.is_ok()
            && let Some(element) = elements.next()
        {
            let payload = Payload::Borrowed(element);
            last = state.reactor.send(call.channel(), payload, true, &[], to);
            taken += i32::from(last.is_ok());
        }
    }
    (taken, last)
}

/// Queues the gathered messages. Argument 0 is their number, and argument 1 their texts.
pub(crate) fn queue_gathered(call: &Call<2>, state: &mut State) -> Result<(), i32> {
    let count = usize::try_from(call.integer(0)).unwrap_or(0);
    if count == 0 {
        return Ok(());
    }
    let State { reactor, memory, texts, .. } = state;
    let units = call.utf16(1, &mut texts.units).ok_or(Errno::INVAL.raw_os_error())?;
    gathered::queue(reactor, memory, count, texts, units).map_err(code)
}

/// Sends a payload. Argument 2 is the number of its descriptors in the table, and argument 3 its
/// destination; both are optional.
pub(crate) fn send(
    call: &Call<4>,
    state: &mut State,
    payload: Payload<'_>,
    text: bool,
) -> Result<f64, i32> {
    if call.count <= 2 {
        // Fast path: no descriptors, no explicit destination.
        let sent = state.reactor.send(call.channel(), payload, text, &[], None);
        write_room(call, state);
        return returned(sent);
    }
    let to = call.address(3)?;
    let count = usize::try_from(call.integer(2)).unwrap_or(0).min(FDS_OUT_MAX as usize);
    let fds = state.memory.table()[FDS_OUT as usize..][..count]
        .iter()
        .map(|&number| lend(number))
        .collect::<Result<Vec<_>, _>>()
        .map_err(Errno::raw_os_error)?;
    let sent = state.reactor.send(call.channel(), payload, text, &fds, to.as_ref());
    write_room(call, state);
    returned(sent)
}

/// Writes into the table how much JavaScript may gather for the stream that has just sent.
pub(crate) fn write_room<const N: usize>(call: &Call<N>, state: &mut State) {
    let room = state.reactor.channel(call.channel()).map_or(0, Channel::room);
    state.memory.table()[ROOM as usize] = word(room);
}

#[expect(
    clippy::cast_precision_loss,
    reason = "no process lives long enough to queue 2^53 messages"
)]
pub(crate) fn returned(sent: Result<Sent, SendError>) -> Result<f64, i32> {
    match sent {
        Ok(Sent::Now) => Ok(0.0),
        Ok(Sent::Queued(seq)) => Ok(seq as f64),
        Err(error) => Err(code(error)),
    }
}

/// Returns the negated result of a hot function for a message that was not accepted.
fn code(error: SendError) -> i32 {
    match error {
        SendError::Refused(errno) => errno.raw_os_error(),
        SendError::QueueFull => -QUEUE_FULL,
        SendError::TooManyFds => -NO_ROOM_FOR_FILE,
        SendError::Unframeable(why) => -unframeable(why),
    }
}

/// Returns the error code of a payload that a protocol cannot carry.
pub(crate) fn unframeable(why: Unframeable) -> i32 {
    match why {
        Unframeable::Delimiter => HAS_DELIMITER,
        Unframeable::TooLong => TOO_LONG,
    }
}
