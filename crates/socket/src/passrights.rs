//! `SO_PASSRIGHTS`, without which the kernel refuses descriptors at their sender (`EPERM`; Linux
//! 6.16).

use std::cell::Cell;
use std::os::fd::BorrowedFd;

use crate::sys::{SO_PASSRIGHTS, set_socket_option, socket_option};

/// What is known of `SO_PASSRIGHTS` of a socket. An accepted socket inherits the option, so a clone
/// of this belongs to it.
#[derive(Clone, Debug, Default)]
pub(crate) struct PassRights(Cell<State>);

#[derive(Clone, Copy, Debug, Default)]
enum State {
    /// This process has created the socket, so the option is on.
    #[default]
    Created,
    /// The socket was created elsewhere.
    Adopted,
    /// The option has the right value, or the kernel lacks it.
    Unchanged,
    /// The option had this value before this crate has changed it.
    Was(bool),
}

impl PassRights {
    /// The state of a socket that was created elsewhere.
    pub(crate) fn adopted() -> Self {
        Self(Cell::new(State::Adopted))
    }

    /// Turns the option on or off, unless this crate has done so before.
    ///
    /// Kernels before 6.16 lack the option: their sockets accept descriptors.
    pub(crate) fn set(&self, socket: BorrowedFd<'_>, on: bool) {
        let was_on = match self.0.get() {
            State::Created => true,
            State::Adopted => !socket_option(socket, SO_PASSRIGHTS).is_ok_and(|[on, ..]| on == 0),
            State::Unchanged | State::Was(_) => return,
        };
        let changed = was_on != on && set_socket_option(socket, SO_PASSRIGHTS, on.into()).is_ok();
        self.0.set(if changed { State::Was(was_on) } else { State::Unchanged });
    }

    /// Restores the previous state.
    pub(crate) fn restore(&self, socket: BorrowedFd<'_>) {
        if let State::Was(on) = self.0.get() {
            // There is no way to recover from a failure here.
            let _ = set_socket_option(socket, SO_PASSRIGHTS, on.into());
        }
    }
}
