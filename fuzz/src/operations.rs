//! What a channel does not do itself: binding to used paths, files and kinds of descriptors, sockets
//! from elsewhere. `tests/errnos.rs` makes their system calls fail, as those of an exchange.

use std::fs::File;
use std::io::{PipeWriter, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use fdwire_socket::{
    Accepted, Binding, Datagram, Errno, Kind, Listener, Mapping, MemoryFile, SocketSetup,
    SocketType, Stream, describe, is_on_local_disk, is_tcp, memfd, memfd_of, peek,
    peer_credentials, peer_pidfd, reopen_pipe, seal,
};
use rustix::fs::Mode;
use rustix::process::umask;

use crate::exchange::{Failure, binding, path, tcp_setup};

/// Binds to a path whose socket is stale, although the umask forbids the mode, and connects to it from
/// another path.
pub(crate) fn paths(folder: &Path) -> Result<(), Failure> {
    let (server, client) = (path(folder, "server"), path(folder, "client"));
    let previous = umask(Mode::from_raw_mode(0o777));
    let run = || {
        let mut stale = Datagram::new()?;
        stale.bind_to(&binding(&server))?;
        // The path remains, and no process has its socket.
        drop(stale.into_fd());
        let setup = SocketSetup { refuse_fds: true, ..SocketSetup::default() };
        let wide = Binding { mode: 0o666, ..binding(&server) };
        let listener = Listener::listen_unix(&wide, SocketType::SEQPACKET, 8, &setup);
        // A path counts as used unless its directory can be locked and its socket is known to be stale.
        let listener = listener.map_err(|error| match error.errno {
            Errno::ADDRINUSE => Failure::Refused,
            errno => errno.into(),
        })?;
        let connected = Datagram::connect_seqpacket(&server, Some(&binding(&client)), &setup)?;
        match listener.accept() {
            Ok(Accepted::Seqpacket(accepted)) => {
                let peer = accepted.peer_address()?.ok_or(Failure::Refused)?;
                assert_eq!(peer, client);
            }
            Ok(Accepted::Stream(_)) => panic!("the listener is one of seqpacket sockets"),
            Err(Errno::CONNABORTED) => return Err(Failure::Refused),
            Err(errno) => return Err(errno.into()),
        }
        assert_eq!(connected.peer_address()?.ok_or(Failure::Refused)?, server);
        Ok(())
    };
    let result = run();
    umask(previous);
    result
}

/// Writes, seals, maps and reads files in memory, opens a pipe again, and determines what descriptors are.
pub(crate) fn files(writer: PipeWriter) -> Result<(), Failure> {
    let bytes = vec![7; 100_000];
    let file = memfd_of(c"errnos", &bytes)?;
    seal(file.as_fd())?;
    assert_eq!(MemoryFile::whole(&file).ok_or(Failure::Refused)?.read()?, bytes);
    let mapping = Mapping::of(&file)?.ok_or(Failure::Refused)?;
    assert_eq!(mapping.len(), bytes.len());
    drop(mapping);
    assert_eq!(MemoryFile::whole(&memfd(c"empty", 9)?).ok_or(Failure::Refused)?.len(), 9);

    let again = reopen_pipe(writer.as_fd())?;
    let (one, other) = Stream::pair()?;
    assert_eq!(one.send(&[std::io::IoSlice::new(b"four")], &[])?, 4);
    let mut first = [0; 8];
    assert_eq!(peek(other.as_fd(), &mut first)?, 4);
    let credentials = peer_credentials(one.as_fd())?.to_bytes();
    assert_eq!(credentials[..4], std::process::id().to_le_bytes());
    // SO_PEERPIDFD is one of Linux 6.5 and newer.
    let pidfd = match peer_pidfd(one.as_fd()) {
        Err(Errno::NOPROTOOPT) => None,
        pidfd => Some(pidfd?),
    };
    let null = File::open("/dev/null").map_err(|error| errno_of(&error))?;
    let folder = File::open("/proc").map_err(|error| errno_of(&error))?;
    let mut kinds = vec![
        (file.as_fd(), Kind::Memfd),
        (again.as_fd(), Kind::Pipe),
        (one.as_fd(), Kind::UnixStream),
        (null.as_fd(), Kind::CharDevice),
        (folder.as_fd(), Kind::Directory),
    ];
    kinds.extend(pidfd.as_ref().map(|pidfd| (pidfd.as_fd(), Kind::Pidfd)));
    for (fd, kind) in kinds {
        let found = Kind::of(fd)?;
        // A question that is not answered makes the kind less exact.
        if found != kind
            && !matches!(found, Kind::File | Kind::Other | Kind::Socket | Kind::CharDevice)
        {
            panic!("{kind:?} is taken for {found:?}");
        }
        is_on_local_disk(fd)?;
    }
    Ok(())
}

/// Takes sockets from elsewhere, uses them, and gives them away again.
pub(crate) fn adopted(writer: PipeWriter) -> Result<(), Failure> {
    let setup = tcp_setup();
    let listener = Listener::listen_tcp(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), 8, &setup)?;
    let address = listener.local_address()?;
    let listener = Listener::adopt(listener.into_fd(), &setup).map_err(|(errno, _)| errno)?;
    let client = Stream::connect(&address, None, &setup)?.stream;
    let server = listener.accept_fd()?;
    assert!(describe(server.as_fd())?.kind == SocketType::STREAM);
    let server = Stream::adopt(server).map_err(|(errno, _)| errno)?;
    server.set_up(&setup)?;
    if !is_tcp(server.as_fd()) || !is_tcp(client.as_fd()) {
        return Err(Failure::Refused);
    }
    assert_eq!(server.peer_address()?, client.local_address()?);
    drop(server.into_fd());

    let (one, other) = Datagram::pair()?;
    let mut ends = Vec::new();
    for end in [one, other] {
        let mut end = Datagram::adopt(end.into_fd()).map_err(|(errno, _)| errno)?;
        end.enable_credentials()?;
        end.prepare_to_receive(true);
        ends.push(end.into_fd());
    }
    let mut pipe = writer;
    pipe.write_all(b"still open").map_err(|error| errno_of(&error))?;
    let _: Vec<OwnedFd> = ends;
    Ok(())
}

fn errno_of(error: &std::io::Error) -> Errno {
    Errno::from_io_error(error).expect("an error of a system call")
}
