#![no_main]

#[path = "../../tests/readers/entries.rs"]
mod entries;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| entries::check("codes", bytes));
