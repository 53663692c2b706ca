//! Addresses of Unix sockets.
//!
//! ```text
//!  sockaddr_un   ┌────────┬──────────────────────────────┐
//!                │ family │ name: 0 to 108 bytes         │
//!                └────────┴──────────────────────────────┘
//!  unnamed                  0 bytes
//!  abstract                 NUL, then 0 to 107 arbitrary bytes; the length is part of the name
//!  path                     1 to 108 bytes other than NUL
//! ```

use std::error::Error;
use std::fmt;
use std::hash::{Hash, Hasher};

use rustix::net::AddressFamily;

/// The address of a Unix socket, byte for byte as the kernel stores it.
///
/// It holds a complete `sockaddr_un` (112 bytes, no heap allocation), so sending to it needs no
/// conversion.
#[derive(Clone)]
pub struct Address {
    pub(crate) sockaddr: SockaddrUn,
    /// Length in bytes of the name within `sockaddr.name`.
    len: u8,
}

/// `struct sockaddr_un`.
#[derive(Clone)]
#[repr(C)]
pub(crate) struct SockaddrUn {
    family: u16,
    name: [u8; MAX_NAME],
}

impl Address {
    /// Length in bytes of the longest address.
    pub const MAX_LEN: usize = MAX_NAME;

    /// The address of a socket that is not bound.
    ///
    /// Binding to it makes the kernel choose an abstract name (autobind).
    pub const UNNAMED: Self =
        Self { sockaddr: SockaddrUn { family: FAMILY, name: [0; MAX_NAME] }, len: 0 };

    /// Creates an address from the bytes that [`as_bytes`](Self::as_bytes) returns.
    ///
    /// An empty name is the unnamed address. A leading NUL starts an abstract name, with 0 to 107
    /// bytes after it. Anything else is a path of up to 108 bytes. Such a path leaves no room for a
    /// terminator, but Linux accepts it, so a peer may have one, and we must be able to reply to
    /// it.
    ///
    /// # Errors
    ///
    /// [`AddressError`] if the name is too long, or a path contains a NUL.
    pub fn from_bytes(name: &[u8]) -> Result<Self, AddressError> {
        if name.len() > MAX_NAME {
            return Err(AddressError::TooLong { len: name.len(), max: MAX_NAME });
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

    /// Returns the name: empty if unnamed, an abstract name with its leading NUL, a path without
    /// terminator.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.sockaddr.name[..usize::from(self.len)]
    }

    /// Returns whether this is the address of a socket that is not bound.
    #[must_use]
    pub fn is_unnamed(&self) -> bool {
        self.len == 0
    }

    /// Returns whether the name is in the abstract namespace.
    #[must_use]
    pub fn is_abstract(&self) -> bool {
        self.as_bytes().first() == Some(&0)
    }

    /// Returns whether the name is a path in the file system.
    #[must_use]
    pub fn is_path(&self) -> bool {
        !self.is_unnamed() && !self.is_abstract()
    }

    /// Overwrites this address with the bytes of a `sockaddr` that the kernel wrote.
    ///
    /// Returns false and leaves the address unnamed if the `sockaddr` is of another family.
    pub(crate) fn assign(&mut self, sockaddr: &[u8]) -> bool {
        self.len = 0;
        let Some((family, name)) = sockaddr.split_first_chunk() else { return true };
        if u16::from_ne_bytes(*family) != FAMILY {
            return false;
        }
        let len = match name.first() {
            None => 0,
            Some(0) => name.len(),
            // The kernel appends a terminator to a path, so a path of 108 bytes has a `sockaddr` of
            // 111 bytes.
            Some(_) => name.iter().position(|&byte| byte == 0).unwrap_or(name.len()),
        };
        self.set_name(&name[..len.min(MAX_NAME)]);
        true
    }

    /// Returns the length in bytes to pass to the kernel, which terminates paths in its own copy.
    pub(crate) fn sockaddr_len(&self) -> u32 {
        u32::from(self.len) + FAMILY_LEN
    }

    /// Sets the name, which must have at most `MAX_NAME` bytes.
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

/// Why bytes are not a valid socket address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum AddressError {
    /// The name does not fit into a `sockaddr_un`.
    TooLong {
        /// Length of the name in bytes, including the leading NUL of an abstract name.
        len: usize,
        /// Largest permitted length in bytes (108).
        max: usize,
    },
    /// The path contains a NUL, at which the kernel would truncate it.
    NulInPath {
        /// Offset of the first NUL in bytes.
        at: usize,
    },
}

impl fmt::Display for AddressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong { len, max } => {
                write!(f, "socket address of {len} bytes exceeds the limit of {max} bytes")
            }
            Self::NulInPath { at } => write!(
                f,
                "socket path contains a NUL at byte {at}; only an abstract name may contain NULs, \
                 and must start with one"
            ),
        }
    }
}

impl Error for AddressError {}

/// Size of `sun_path` in bytes.
const MAX_NAME: usize = 108;
/// Size of `sun_family` in bytes.
const FAMILY_LEN: u32 = 2;
const FAMILY: u16 = AddressFamily::UNIX.as_raw();
