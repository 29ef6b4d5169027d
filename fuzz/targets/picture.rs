#![no_main]

#[path = "../../tests/readers/entries.rs"]
mod entries;

libfuzzer_sys::fuzz_target!(
    // The reader outlives panics of decoders, for which libFuzzer's own hook would end the run; it
    // still ends for others.
    init: std::panic::set_hook(Box::new(|info| eprintln!("{info}"))),
    |bytes: &[u8]| entries::check("picture", bytes)
);
