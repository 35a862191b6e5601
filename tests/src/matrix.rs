//! The matrix: each behaviour is one function and runs once for each driver, and where it is the
//! same through two proxies as through one, once more for each over the mesh.

use crate::sys;

/// How the workers wait for sockets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Driver {
    /// io_uring, by `RINGWAY_DRIVER=uring`.
    Uring,
    /// epoll, by `RINGWAY_DRIVER=epoll`.
    Epoll,
    /// No driver is asked for and the kernel denies io_uring: epoll has to be taken.
    Denied,
}

/// One cell of the matrix.
#[derive(Clone, Copy, Debug)]
pub struct Cell {
    /// The driver.
    pub driver: Driver,
    /// A second proxy stands before every endpoint, to which HTTP/1.1 is carried over HTTP/2.
    pub meshed: bool,
}

impl Cell {
    /// The cell for io_uring: denied when the whole run asks for that, or `None`, with a note,
    /// where the kernel has no io_uring at all.
    #[must_use]
    pub fn uring() -> Option<Self> {
        if std::env::var_os("RINGWAY_TESTS_DENY_URING").is_some_and(|v| v == "1") {
            return Some(Self { driver: Driver::Denied, meshed: false });
        }
        if !sys::io_uring_offered() {
            println!("not run: this kernel offers no io_uring");
            return None;
        }
        Some(Self { driver: Driver::Uring, meshed: false })
    }

    /// The cell for epoll.
    #[must_use]
    pub const fn epoll() -> Self {
        Self { driver: Driver::Epoll, meshed: false }
    }

    /// The same over the mesh.
    #[must_use]
    pub const fn meshed(self) -> Self {
        Self { meshed: true, ..self }
    }

    /// What `driver` metric and log say in this cell.
    #[must_use]
    pub const fn announced(self) -> &'static str {
        match self.driver {
            Driver::Uring => "io_uring",
            Driver::Epoll | Driver::Denied => "epoll",
        }
    }
}

/// Makes two tests of each behaviour, `name::uring` and `name::epoll`.
#[macro_export]
macro_rules! matrix {
    ($($behaviour:ident),+ $(,)?) => {$(
        mod $behaviour {
            #[test]
            fn uring() {
                if let Some(cell) = ringway_tests::matrix::Cell::uring() {
                    super::$behaviour(cell);
                }
            }

            #[test]
            fn epoll() {
                super::$behaviour(ringway_tests::matrix::Cell::epoll());
            }
        }
    )+};
}

/// Two more tests of behaviours, `meshed::name::uring` and `meshed::name::epoll`, in which a second
/// proxy stands before every endpoint of those that [`crate::proxy::Proxy::start`] starts.
#[macro_export]
macro_rules! over_mesh {
    ($($behaviour:ident),+ $(,)?) => {
        mod meshed {$(
            mod $behaviour {
                #[test]
                fn uring() {
                    if let Some(cell) = ringway_tests::matrix::Cell::uring() {
                        super::super::$behaviour(cell.meshed());
                    }
                }

                #[test]
                fn epoll() {
                    super::super::$behaviour(ringway_tests::matrix::Cell::epoll().meshed());
                }
            }
        )+}
    };
}

/// All four: [`matrix!`] and [`over_mesh!`] of the same behaviours.
#[macro_export]
macro_rules! everywhere {
    ($($behaviour:ident),+ $(,)?) => {
        $crate::matrix!($($behaviour),+);
        $crate::over_mesh!($($behaviour),+);
    };
}
