//! Doors of the kernel that stay shut: the filter of system calls.
//!
//! The namespaces keep a command from the host. The filter keeps it from parts of the kernel that no package manager
//! needs, and in which a mistake of the kernel's would be one's way out. What it denies fails with an error that
//! programs know how to meet; none is killed.

use std::io;
use std::os::fd::OwnedFd;

use rustix::io::Errno;
use sandbox_sys::{Instruction, Verdict};

/// A system call's numbers on x86_64, i386 and aarch64.
type Numbers = [Option<u32>; 3];

/// What is denied with EPERM.
#[rustfmt::skip]
const DENIED: [(&str, Numbers); 49] = [
    ("acct", [Some(163), Some(51), Some(89)]),
    ("add_key", [Some(248), Some(286), Some(217)]),
    ("bpf", [Some(321), Some(357), Some(280)]),
    ("clock_adjtime", [Some(305), Some(343), Some(266)]),
    ("clock_settime", [Some(227), Some(264), Some(112)]),
    ("create_module", [Some(174), Some(127), None]),
    ("delete_module", [Some(176), Some(129), Some(106)]),
    ("finit_module", [Some(313), Some(350), Some(273)]),
    ("fsconfig", [Some(431), Some(431), Some(431)]),
    ("fsmount", [Some(432), Some(432), Some(432)]),
    ("fsopen", [Some(430), Some(430), Some(430)]),
    ("fspick", [Some(433), Some(433), Some(433)]),
    ("get_kernel_syms", [Some(177), Some(130), None]),
    ("init_module", [Some(175), Some(128), Some(105)]),
    ("io_uring_enter", [Some(426), Some(426), Some(426)]),
    ("io_uring_register", [Some(427), Some(427), Some(427)]),
    ("io_uring_setup", [Some(425), Some(425), Some(425)]),
    ("ioperm", [Some(173), Some(101), None]),
    ("iopl", [Some(172), Some(110), None]),
    ("kexec_file_load", [Some(320), None, Some(294)]),
    ("kexec_load", [Some(246), Some(283), Some(104)]),
    ("keyctl", [Some(250), Some(288), Some(219)]),
    ("lookup_dcookie", [Some(212), Some(253), Some(18)]),
    ("mount", [Some(165), Some(21), Some(40)]),
    ("mount_setattr", [Some(442), Some(442), Some(442)]),
    ("move_mount", [Some(429), Some(429), Some(429)]),
    ("nfsservctl", [Some(180), Some(169), Some(42)]),
    ("open_by_handle_at", [Some(304), Some(342), Some(265)]),
    ("open_tree", [Some(428), Some(428), Some(428)]),
    ("perf_event_open", [Some(298), Some(336), Some(241)]),
    ("pivot_root", [Some(155), Some(217), Some(41)]),
    ("query_module", [Some(178), Some(167), None]),
    ("quotactl", [Some(179), Some(131), Some(60)]),
    ("quotactl_fd", [Some(443), Some(443), Some(443)]),
    ("reboot", [Some(169), Some(88), Some(142)]),
    ("request_key", [Some(249), Some(287), Some(218)]),
    ("setns", [Some(308), Some(346), Some(268)]),
    ("settimeofday", [Some(164), Some(79), Some(170)]),
    ("stime", [None, Some(25), None]),
    ("swapoff", [Some(168), Some(115), Some(225)]),
    ("swapon", [Some(167), Some(87), Some(224)]),
    ("syslog", [Some(103), Some(103), Some(116)]),
    ("umount", [None, Some(22), None]),
    ("umount2", [Some(166), Some(52), Some(39)]),
    ("userfaultfd", [Some(323), Some(374), Some(282)]),
    ("uselib", [Some(134), Some(86), None]),
    ("vhangup", [Some(153), Some(111), Some(58)]),
    ("vm86", [None, Some(166), None]),
    ("vm86old", [None, Some(113), None]),
];

const CLONE: Numbers = [Some(56), Some(120), Some(220)];
const CLONE3: Numbers = [Some(435); 3];
const UNSHARE: Numbers = [Some(272), Some(310), Some(97)];
const PERSONALITY: Numbers = [Some(135), Some(136), Some(92)];
const SOCKET: Numbers = [Some(41), Some(359), Some(198)];

const CLONE_NEWUSER: u32 = 0x1000_0000;

/// The personalities of Linux itself with 64 and 32 bits, with a true and an old version number, and the question.
/// Others switch off what makes attacks hard.
const PERSONALITIES: [u32; 5] = [0, 0x8, 0x2_0000, 0x2_0008, u32::MAX];

/// AF_UNSPEC, AF_UNIX, AF_INET, AF_INET6, AF_NETLINK and AF_PACKET. Not AF_VSOCK, which leads out of virtual machines
/// without a network, and not AF_ALG. A 32-bit program may have others, by a call whose arguments are in memory.
const FAMILIES: [u32; 6] = [0, 1, 2, 10, 16, 17];

/// The mark of the third kind of call on x86_64, with 32-bit pointers and 64-bit registers.
const X32: u32 = 0x4000_0000;

/// The kinds of calls of this machine, by their `AUDIT_ARCH_…`: x86_64 and i386, or aarch64. All calls of other kinds
/// fail with ENOSYS.
#[cfg(target_arch = "x86_64")]
const KINDS: &[(u32, usize)] = &[(0xc000_003e, 0), (0x4000_0003, 1)];
#[cfg(target_arch = "aarch64")]
const KINDS: &[(u32, usize)] = &[(0xc000_00b7, 2)];
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
compile_error!("the sandbox has no numbers of this machine's system calls");

/// A call that a sandbox with a single id asks about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    Chown,
    Lchown,
    Fchown,
    Fchownat,
    Mknod,
    Mknodat,
    Setxattr,
    Lsetxattr,
    Fsetxattr,
    Setgroups,
}

/// Their numbers. i386's older calls with ids of 16 bits are not among them: the kernel refuses those by itself.
const ASKED: [(Call, Numbers); 10] = [
    (Call::Chown, [Some(92), Some(212), None]),
    (Call::Lchown, [Some(94), Some(198), None]),
    (Call::Fchown, [Some(93), Some(207), Some(55)]),
    (Call::Fchownat, [Some(260), Some(298), Some(54)]),
    (Call::Mknod, [Some(133), Some(14), None]),
    (Call::Mknodat, [Some(259), Some(297), Some(33)]),
    (Call::Setxattr, [Some(188), Some(226), Some(5)]),
    (Call::Lsetxattr, [Some(189), Some(227), Some(6)]),
    (Call::Fsetxattr, [Some(190), Some(228), Some(7)]),
    (Call::Setgroups, [Some(116), Some(206), Some(159)]),
];

impl Call {
    /// The call that a number is.
    pub(crate) fn of(architecture: u32, number: u32) -> Option<Self> {
        let (_, column) = KINDS.iter().find(|(kind, _)| *kind == architecture)?;
        ASKED.iter().find(|(_, numbers)| numbers[*column] == Some(number)).map(|(call, _)| *call)
    }
}

/// Shuts the doors for this process, and has it wait for a supervisor at the calls of a sandbox with a single id.
/// Returns the supervisor's listener.
pub(crate) fn shut_and_ask() -> io::Result<OwnedFd> {
    sandbox_sys::install_with_listener(&filter(&ASKED))
}

/// Shuts the doors for this process and all its descendants.
///
/// With the capabilities of a user namespace, programs keep their set-user-ID bits. Without them (by chroot in a
/// container), the kernel installs no filter unless those bits are given up.
pub(crate) fn shut() -> io::Result<()> {
    let filter = filter(&[]);
    match sandbox_sys::install(&filter) {
        Err(error) if error.raw_os_error() == Some(Errno::ACCESS.raw_os_error()) => {
            rustix::thread::set_no_new_privs(true)?;
            sandbox_sys::install(&filter)
        }
        other => other,
    }
}

/// The whole filter.
fn filter(asked: &[(Call, Numbers)]) -> Vec<Instruction> {
    let mut filter = vec![Instruction::load(Instruction::ARCHITECTURE)];
    for &(architecture, column) in KINDS {
        let block = block(column, asked);
        // A jump reaches 255 instructions.
        let length = u8::try_from(block.len()).unwrap_or(u8::MAX);
        filter.push(Instruction::jump_if_equal(architecture, 0, length));
        filter.extend(block);
    }
    filter.push(fail(Errno::NOSYS));
    filter
}

/// The filter for one kind of calls. It always ends with a verdict.
fn block(column: usize, asked: &[(Call, Numbers)]) -> Vec<Instruction> {
    let mut block = vec![Instruction::load(Instruction::NUMBER)];
    if column == 0 {
        block.extend([Instruction::jump_if_at_least(X32, 0, 1), fail(Errno::NOSYS)]);
    }
    let mut on = |numbers: Numbers, verdict: &[Instruction]| {
        if let Some(number) = numbers[column] {
            let length = u8::try_from(verdict.len()).unwrap_or(u8::MAX);
            block.push(Instruction::jump_if_equal(number, 0, length));
            block.extend(verdict);
        }
    };
    for (_, numbers) in DENIED {
        on(numbers, &[fail(Errno::PERM)]);
    }
    // Its flags are in memory, where a filter cannot look. The C libraries go back to `clone` then.
    on(CLONE3, &[fail(Errno::NOSYS)]);
    // A namespace in a namespace would have all capabilities again.
    let no_new_user = [
        Instruction::load(Instruction::argument(0)),
        Instruction::jump_if_any_bit(CLONE_NEWUSER, 0, 1),
        fail(Errno::PERM),
        Instruction::verdict(Verdict::Allow),
    ];
    on(CLONE, &no_new_user);
    on(UNSHARE, &no_new_user);
    on(PERSONALITY, &only(&PERSONALITIES, Errno::PERM));
    on(SOCKET, &only(&FAMILIES, Errno::AFNOSUPPORT));
    for (_, numbers) in asked {
        on(*numbers, &[Instruction::verdict(Verdict::Ask)]);
    }
    block.push(Instruction::verdict(Verdict::Allow));
    block
}

/// Allows a call whose first argument is one of these.
fn only(values: &[u32], otherwise: Errno) -> Vec<Instruction> {
    let mut verdict = vec![Instruction::load(Instruction::argument(0))];
    let tests = values
        .iter()
        .rev()
        .enumerate()
        .map(|(after, &value)| Instruction::jump_if_equal(value, u8::try_from(after + 1).unwrap_or(u8::MAX), 0));
    let tests: Vec<_> = tests.collect();
    verdict.extend(tests.into_iter().rev());
    verdict.extend([fail(otherwise), Instruction::verdict(Verdict::Allow)]);
    verdict
}

const fn fail(error: Errno) -> Instruction {
    Instruction::verdict(Verdict::Fail(error.raw_os_error() as u16))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_arch = "x86_64")]
    fn the_numbers_are_those_of_the_c_library() {
        let number = |name: &str| DENIED.iter().find(|(of, _)| *of == name).and_then(|(_, numbers)| numbers[0]);
        let known = [
            ("bpf", libc::SYS_bpf),
            ("mount", libc::SYS_mount),
            ("umount2", libc::SYS_umount2),
            ("kexec_load", libc::SYS_kexec_load),
            ("kexec_file_load", libc::SYS_kexec_file_load),
            ("init_module", libc::SYS_init_module),
            ("finit_module", libc::SYS_finit_module),
            ("keyctl", libc::SYS_keyctl),
            ("add_key", libc::SYS_add_key),
            ("request_key", libc::SYS_request_key),
            ("perf_event_open", libc::SYS_perf_event_open),
            ("open_by_handle_at", libc::SYS_open_by_handle_at),
            ("userfaultfd", libc::SYS_userfaultfd),
            ("io_uring_setup", libc::SYS_io_uring_setup),
            ("setns", libc::SYS_setns),
            ("reboot", libc::SYS_reboot),
        ];
        for (name, of_c_library) in known {
            assert_eq!(number(name).map(i64::from), Some(of_c_library), "{name}");
        }
    }

    #[test]
    fn each_block_is_within_reach_of_a_jump() {
        for column in 0..3 {
            assert!(block(column, &ASKED).len() <= 255);
        }
    }
}
