//! The few system calls that std does not offer; the only unsafe code of the harness.
#![allow(unsafe_code, reason = "libc calls, each with its reason")]

use std::io;
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// Sends `signal` to one process.
pub fn kill(pid: u32, signal: i32) {
    // SAFETY: kill takes no pointers; the pid is that of a child not yet waited for.
    unsafe { libc::kill(pid.cast_signed(), signal) };
}

/// Ends the connection with a reset instead of a FIN, at once, whoever else holds the socket.
pub fn reset(stream: &TcpStream) {
    let nowhere = libc::sockaddr {
        sa_family: libc::sa_family_t::try_from(libc::AF_UNSPEC).unwrap_or(0),
        sa_data: [0; 14],
    };
    let len = libc::socklen_t::try_from(size_of::<libc::sockaddr>()).unwrap_or(0);
    // SAFETY: the address and its length describe `nowhere`, which outlives the call.
    // connect(AF_UNSPEC) disconnects a TCP socket, with a RST when it was established.
    unsafe { libc::connect(stream.as_raw_fd(), &raw const nowhere, len) };
}

/// Makes the receive buffer small, so that a slow reader is felt early.
pub fn small_receive_buffer(stream: &TcpStream, bytes: i32) {
    set_option(stream, libc::SO_RCVBUF, &bytes);
}

/// Lets hardly any connection wait to be accepted.
pub fn small_backlog(listener: &TcpListener) {
    // SAFETY: listen takes no pointers; the descriptor is that of a listening socket.
    unsafe { libc::listen(listener.as_raw_fd(), 0) };
}

fn set_option<T>(stream: &TcpStream, option: i32, value: &T) {
    let len = libc::socklen_t::try_from(size_of::<T>()).unwrap_or(0);
    // SAFETY: the pointer and the length describe `value`, which outlives the call.
    unsafe {
        libc::setsockopt(
            stream.as_raw_fd(),
            libc::SOL_SOCKET,
            option,
            std::ptr::from_ref(value).cast(),
            len,
        );
    }
}

/// Makes room for thousands of connections that nobody has accepted yet; std asks for 128.
pub fn deepen_backlog(listener: &TcpListener) {
    // SAFETY: listen takes no pointers, and once more only changes the backlog.
    unsafe { libc::listen(listener.as_raw_fd(), 4096) };
}

/// Limits the open files of a running process.
pub fn limit_files(pid: u32, files: u64) {
    let limit = libc::rlimit { rlim_cur: files, rlim_max: files };
    // SAFETY: `limit` is valid for the call and no old limit is asked for.
    unsafe {
        libc::prlimit(
            pid.cast_signed(),
            libc::RLIMIT_NOFILE,
            &raw const limit,
            std::ptr::null_mut(),
        )
    };
}

/// Raises this process's own soft limit of open files to the hard one; returns it.
#[must_use]
pub fn raise_own_files() -> u64 {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is valid for both calls.
    unsafe {
        libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit);
        limit.rlim_cur = limit.rlim_max;
        libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit);
    }
    limit.rlim_cur
}

/// Clock ticks per second and bytes per page of /proc's figures.
#[must_use]
pub fn units() -> (u64, u64) {
    // SAFETY: sysconf takes no pointers.
    let (ticks, page) =
        unsafe { (libc::sysconf(libc::_SC_CLK_TCK), libc::sysconf(libc::_SC_PAGESIZE)) };
    (u64::try_from(ticks).unwrap_or(100), u64::try_from(page).unwrap_or(4096))
}

/// Whether the kernel lets this process make an io_uring.
#[must_use]
pub fn io_uring_offered() -> bool {
    // SAFETY: a null parameter block makes the call fail with EFAULT where io_uring exists.
    let answer = unsafe { libc::syscall(libc::SYS_io_uring_setup, 1, std::ptr::null::<u8>()) };
    answer == -1 && io::Error::last_os_error().raw_os_error() == Some(libc::EFAULT)
}

/// Ends `command` when this test process dies, so that a killed run leaves nothing behind.
pub fn end_with_parent(command: &mut Command) {
    // SAFETY: prctl with PDEATHSIG is async-signal-safe and takes no pointers.
    unsafe {
        command.pre_exec(|| {
            libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
            Ok(())
        });
    }
}

/// Gives the calling thread, and what it starts from now on, a new and empty network namespace.
///
/// # Errors
/// The system call's: EPERM without `CAP_SYS_ADMIN`.
pub fn new_network() -> io::Result<()> {
    // SAFETY: unshare takes no pointers and changes the calling thread's namespace only.
    zero(unsafe { libc::unshare(libc::CLONE_NEWNET) })
}

/// Moves the calling thread, and what it starts from now on, into this network namespace.
///
/// # Errors
/// The system call's.
pub fn join_network(namespace: &impl AsRawFd) -> io::Result<()> {
    // SAFETY: setns takes no pointers; the descriptor is open for the call.
    zero(unsafe { libc::setns(namespace.as_raw_fd(), libc::CLONE_NEWNET) })
}

fn zero(result: libc::c_int) -> io::Result<()> {
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

const ALLOW: u32 = 0x7fff_0000;
const ERRNO: u32 = 0x0005_0000;

/// Runs `command` under a seccomp filter that answers EPERM to the three io_uring calls, as
/// container runtimes and hardened kernels do.
pub fn deny_io_uring(command: &mut Command) {
    let refuse = ERRNO | libc::EPERM.cast_unsigned();
    let load = instruction(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, 0);
    let calls = [libc::SYS_io_uring_setup, libc::SYS_io_uring_enter, libc::SYS_io_uring_register];
    let mut program = vec![load];
    for (i, call) in calls.iter().enumerate() {
        let to_refusal = u8::try_from(calls.len() - i).unwrap_or(0);
        let number = u32::try_from(*call).unwrap_or(u32::MAX);
        program.push(instruction(
            libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K,
            to_refusal,
            0,
            number,
        ));
    }
    program.push(instruction(libc::BPF_RET | libc::BPF_K, 0, 0, ALLOW));
    program.push(instruction(libc::BPF_RET | libc::BPF_K, 0, 0, refuse));
    // SAFETY: only prctl is called between fork and exec; the program was allocated before and
    // lives in the closure.
    unsafe {
        command.pre_exec(move || {
            let filter = libc::sock_fprog {
                len: u16::try_from(program.len()).unwrap_or(0),
                filter: program.as_ptr().cast_mut(),
            };
            if libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0
                || libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const filter)
                    != 0
            {
                return Err(io::Error::last_os_error());
            }
            Ok(())
        });
    }
}

fn instruction(code: u32, jt: u8, jf: u8, k: u32) -> libc::sock_filter {
    libc::sock_filter { code: u16::try_from(code).unwrap_or(0), jt, jf, k }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn io_uring_is_denied_with_eperm() {
        let ask = "import ctypes, sys; c = ctypes.CDLL(None, use_errno=True); \
                   [sys.exit(n) for n in (425, 426, 427) if c.syscall(n, 1, 0) != -1 or ctypes.get_errno() != 1]";
        for denied in [false, true] {
            let mut command = Command::new("python3");
            command.args(["-c", ask]);
            if denied {
                deny_io_uring(&mut command);
            }
            assert_eq!(command.status().unwrap().success(), denied);
        }
    }
}
