//! Feeds any bytes to `ringway_config::fuzzing`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| ringway_config::fuzzing(bytes));
