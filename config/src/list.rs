//! Values that are lists in one text, with commas between: how they are read and written.

use std::fmt::{self, Display};

/// Reads what stands between commas; `off` and the empty text are an empty list.
pub(crate) fn read<T, E>(text: &str, one: impl FnMut(&str) -> Result<T, E>) -> Result<Vec<T>, E> {
    if matches!(text.trim(), "" | "off") {
        return Ok(Vec::new());
    }
    text.split(',').map(str::trim).map(one).collect()
}

/// Writes what [`read`] reads.
pub(crate) fn write<T: Display>(
    f: &mut fmt::Formatter<'_>,
    all: impl IntoIterator<Item = T>,
) -> fmt::Result {
    let mut all = all.into_iter();
    let Some(first) = all.next() else { return f.write_str("off") };
    write!(f, "{first}")?;
    all.try_for_each(|one| write!(f, ",{one}"))
}
