//! The name of a Unix socket.
//!
//! ```text
//!  sockaddr_un   ┌────────┬──────────────────────────────┐
//!                │ family │ name: 0 to 108 bytes         │
//!                └────────┴──────────────────────────────┘
//!  unnamed                  (nothing)
//!  abstract                 NUL, then 0 to 107 bytes, any of them NUL: the length is part of the name
//!  path                     1 to 108 bytes, none of them NUL
//! ```

use std::error::Error;
use std::fmt;
use std::hash::{Hash, Hasher};

use rustix::net::AddressFamily;

/// The name of a Unix socket, byte for byte as the kernel has it.
///
/// It holds a whole `sockaddr_un` (112 bytes, no heap), so that sending to it converts nothing.
#[derive(Clone)]
pub struct Address {
    pub(crate) sockaddr: SockaddrUn,
    /// Bytes of `sockaddr.name` that count.
    len: u8,
}

/// `struct sockaddr_un`.
#[derive(Clone)]
#[repr(C)]
pub(crate) struct SockaddrUn {
    family: u16,
    name: [u8; NAME_MAX],
}

impl Address {
    /// No name: what a socket has before it is bound.
    ///
    /// To bind to it is to let the kernel choose an abstract name (autobind).
    pub const UNNAMED: Self =
        Self { sockaddr: SockaddrUn { family: FAMILY, name: [0; NAME_MAX] }, len: 0 };

    /// Takes a name as [`as_bytes`](Self::as_bytes) gives it.
    ///
    /// No byte at all is the unnamed address, a leading NUL makes an abstract name (at most 107 bytes
    /// behind it, none at all is a name too), everything else is a path of at most 108 bytes. 108 is
    /// one more than fits with a terminator; Linux takes it, so a peer may have such a name, and it
    /// must be possible to answer that peer.
    ///
    /// # Errors
    ///
    /// When the name is too long, or a path has a NUL inside.
    pub fn from_bytes(name: &[u8]) -> Result<Self, AddressError> {
        if name.len() > NAME_MAX {
            return Err(AddressError::TooLong { len: name.len(), max: NAME_MAX });
        }
        if name.first() != Some(&0)
            && let Some(at) = name.iter().position(|&byte| byte == 0)
        {
            return Err(AddressError::NulInPath { at });
        }
        let mut address = Self::UNNAMED;
        address.set_name(name);
        Ok(address)
    }

    /// The name: nothing when unnamed, with its leading NUL when abstract, without terminator when a
    /// path.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.sockaddr.name[..usize::from(self.len)]
    }

    /// Whether there is no name.
    #[must_use]
    pub fn is_unnamed(&self) -> bool {
        self.len == 0
    }

    /// Whether the name lives in the kernel's abstract name space.
    #[must_use]
    pub fn is_abstract(&self) -> bool {
        self.as_bytes().first() == Some(&0)
    }

    /// Whether the name is a path in the file system.
    #[must_use]
    pub fn is_path(&self) -> bool {
        !self.is_unnamed() && !self.is_abstract()
    }

    /// Overwrites this address with the bytes of a `sockaddr` that the kernel wrote.
    ///
    /// Returns false, and leaves the address unnamed, when it is of another family.
    pub(crate) fn assign(&mut self, sockaddr: &[u8]) -> bool {
        self.len = 0;
        let Some((family, name)) = sockaddr.split_first_chunk() else { return true };
        if u16::from_ne_bytes(*family) != FAMILY {
            return false;
        }
        let len = match name.first() {
            None => 0,
            Some(0) => name.len(),
            // A path comes with its terminator: one of 108 bytes is 111 bytes of sockaddr.
            Some(_) => name.iter().position(|&byte| byte == 0).unwrap_or(name.len()),
        };
        self.set_name(&name[..len.min(NAME_MAX)]);
        true
    }

    /// Bytes of the `sockaddr_un` that count. The kernel terminates paths in its own copy.
    pub(crate) fn sockaddr_len(&self) -> u32 {
        u32::from(self.len) + FAMILY_LEN
    }

    /// The caller has checked that `name` fits.
    fn set_name(&mut self, name: &[u8]) {
        self.sockaddr.name[..name.len()].copy_from_slice(name);
        self.len = u8::try_from(name.len()).unwrap_or(u8::MAX);
    }
}

impl PartialEq for Address {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl Eq for Address {}

impl Hash for Address {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_bytes().hash(state);
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Address(\"{}\")", self.as_bytes().escape_ascii())
    }
}

/// Why some bytes are no socket's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum AddressError {
    /// More bytes than a `sockaddr_un` holds.
    TooLong {
        /// Bytes given, an abstract name's leading NUL among them.
        len: usize,
        /// Bytes that fit (108).
        max: usize,
    },
    /// A path that the kernel would cut short.
    NulInPath {
        /// Offset of the first NUL, in bytes.
        at: usize,
    },
}

impl fmt::Display for AddressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong { len, max } => {
                write!(f, "a socket's name of {len} bytes, expected at most {max}")
            }
            Self::NulInPath { at } => write!(
                f,
                "a NUL at byte {at} of a socket's path, expected none, or one at byte 0 for an \
                 abstract name"
            ),
        }
    }
}

impl Error for AddressError {}

/// Bytes of `sun_path`.
const NAME_MAX: usize = 108;
/// Bytes of `sun_family`.
const FAMILY_LEN: u32 = 2;
const FAMILY: u16 = AddressFamily::UNIX.as_raw();
