//! Checks that a JPEG has all its data. Decoders fill missing parts with grey and report success,
//! so this walks the entropy-coded data without decoding pixels (ITU-T T.81, annexes B and F).
//!
//! In a sequential file every block must be present. In a progressive one the scans must bring
//! every coefficient to full precision; whether the last scan is complete is not checked.
//! Arithmetic-coded, lossless and hierarchical files are left to the decoder.

/// A Huffman table: the number of codes of each length, and their symbols in code order.
#[derive(Clone, Default)]
struct Table {
    counts: [u8; 16],
    values: Vec<u8>,
}

/// A component of the image.
#[derive(Clone)]
struct Component {
    id: u8,
    /// Blocks per MCU, horizontally and vertically.
    sampling: [usize; 2],
    /// Low bits of each coefficient still to come; `None` before its first scan.
    missing: [Option<u8>; 64],
}

/// What the headers read so far say.
#[derive(Default)]
struct Frame {
    size: [usize; 2],
    components: Vec<Component>,
    progressive: bool,
    /// MCUs between restart markers, 0 for none.
    restart: usize,
    /// Tables of DC, then of AC coefficients.
    tables: [[Table; 4]; 2],
}

/// An error if part of the JPEG `bytes` is missing, saying what.
pub(super) fn check(bytes: &[u8]) -> Result<(), String> {
    let mut frame = Frame::default();
    let mut at = 2;
    while let Some((code, after)) = marker(bytes, at) {
        at = after;
        if code == 0xD9 {
            return frame.is_whole();
        }
        // Markers without a segment.
        if matches!(code, 0x01 | 0xD0..=0xD8) {
            continue;
        }
        let Some(segment) = segment(bytes, at) else {
            break;
        };
        at += 2 + segment.len();
        let read = match code {
            0xC4 => frame.read_tables(segment),
            0xC0..=0xC2 => frame.read_header(segment, code == 0xC2),
            // Other coding processes, and a height that is given later (DNL).
            0xC3 | 0xC5..=0xCF | 0xDC => return has_end(bytes, at),
            0xDD => segment
                .first_chunk()
                .map(|bytes| frame.restart = usize::from(u16::from_be_bytes(*bytes))),
            0xDA => match frame.scan(segment, &bytes[at..])? {
                Some(length) => {
                    at += length;
                    Some(())
                }
                None => return has_end(bytes, at),
            },
            _ => Some(()),
        };
        // The decoder says more about malformed headers.
        if read.is_none() {
            return has_end(bytes, at);
        }
    }
    Err("is cut off (a JPEG without its end marker)".into())
}

/// An error if there is no end marker from `at` on.
fn has_end(bytes: &[u8], at: usize) -> Result<(), String> {
    if bytes
        .get(at..)
        .is_some_and(|rest| rest.windows(2).any(|pair| pair == [0xFF, 0xD9]))
    {
        return Ok(());
    }
    Err("is cut off (a JPEG without its end marker)".into())
}

/// The next marker from `at` on, and where it ends. Bytes before it, and stuffed ones, are skipped.
fn marker(bytes: &[u8], mut at: usize) -> Option<(u8, usize)> {
    loop {
        match bytes.get(at..at + 2)? {
            [0xFF, 0x00] => at += 2,
            [0xFF, 0xFF] => at += 1,
            [0xFF, code] => return Some((*code, at + 2)),
            _ => at += 1,
        }
    }
}

/// The content of the segment at `at`, which begins with its length.
fn segment(bytes: &[u8], at: usize) -> Option<&[u8]> {
    let length = usize::from(u16::from_be_bytes(*bytes.get(at..)?.first_chunk()?));
    bytes.get(at + 2..at + length.max(2))
}

impl Frame {
    fn read_tables(&mut self, mut segment: &[u8]) -> Option<()> {
        while let Some((&[which, ref counts @ ..], rest)) = segment.split_first_chunk::<17>() {
            let total = counts.iter().map(|&count| usize::from(count)).sum();
            let values = rest.get(..total)?.to_vec();
            let table = self
                .tables
                .get_mut(usize::from(which >> 4))?
                .get_mut(usize::from(which & 15))?;
            *table = Table {
                counts: *counts,
                values,
            };
            segment = &rest[total..];
        }
        Some(())
    }

    fn read_header(&mut self, segment: &[u8], progressive: bool) -> Option<()> {
        let (&[_, h1, h2, w1, w2, count], rest) = segment.split_first_chunk()?;
        self.size = [[h1, h2], [w1, w2]].map(|pair| usize::from(u16::from_be_bytes(pair)));
        self.progressive = progressive;
        let component = |bytes: &[u8]| Component {
            id: bytes[0],
            sampling: [usize::from(bytes[1] >> 4), usize::from(bytes[1] & 15)],
            missing: [None; 64],
        };
        self.components = rest
            .chunks_exact(3)
            .take(usize::from(count))
            .map(component)
            .collect();
        let sane = self
            .components
            .iter()
            .all(|c| c.sampling.iter().all(|s| (1..=4).contains(s)));
        (sane && !self.components.is_empty() && !self.size.contains(&0)).then_some(())
    }

    /// Walks a scan whose data begin at the start of `data`. Returns their length (0 for a
    /// progressive file, which is not walked), or `None` if the scan header is malformed.
    fn scan(&mut self, header: &[u8], data: &[u8]) -> Result<Option<usize>, String> {
        let Some(scan) = self.scan_header(header) else {
            return Ok(None);
        };
        if self.progressive {
            return Ok(Some(0));
        }
        let [height, width] = self.size;
        let most = |i: usize| {
            self.components
                .iter()
                .map(|c| c.sampling[i])
                .max()
                .unwrap_or(1)
        };
        let [across, down] = [most(0), most(1)];
        let mcus = if let [(c, _)] = scan[..] {
            // A scan of a single component has no blocks that only pad an MCU.
            let [own_across, own_down] = self.components[c].sampling;
            let blocks =
                |length: usize, own: usize, most: usize| (length * own).div_ceil(most).div_ceil(8);
            blocks(width, own_across, across) * blocks(height, own_down, down)
        } else {
            width.div_ceil(8 * across) * height.div_ceil(8 * down)
        };
        let mut bits = Bits {
            data,
            at: 0,
            value: 0,
            count: 0,
        };
        for mcu in 0..mcus {
            let walked = self.walk(&scan, mcu, &mut bits);
            if walked.is_none() {
                let percent = 100 * mcu / mcus;
                return Err(format!(
                    "is damaged: its data end after {percent} % of the image"
                ));
            }
        }
        Ok(Some(bits.at))
    }

    /// The components of a scan with their [DC, AC] table numbers. Also notes which coefficient
    /// bits the scan brings.
    fn scan_header(&mut self, header: &[u8]) -> Option<Vec<(usize, [usize; 2])>> {
        let (&count, rest) = header.split_first()?;
        let (selectors, last) = rest.split_at_checked(2 * usize::from(count))?;
        let &[first, end, precision] = last.first_chunk()?;
        let mut scan = Vec::new();
        for pair in selectors.chunks_exact(2) {
            let c = self
                .components
                .iter()
                .position(|component| component.id == pair[0])?;
            let range = if self.progressive {
                usize::from(first)..=usize::from(end)
            } else {
                0..=63
            };
            let left = if self.progressive { precision & 15 } else { 0 };
            self.components[c].missing.get_mut(range)?.fill(Some(left));
            scan.push((
                c,
                [
                    usize::from(pair[1] >> 4).min(3),
                    usize::from(pair[1] & 15).min(3),
                ],
            ));
        }
        (!scan.is_empty()).then_some(scan)
    }

    /// Walks an MCU; `None` if its data end or hold a code that is not in its tables.
    fn walk(&self, scan: &[(usize, [usize; 2])], mcu: usize, bits: &mut Bits) -> Option<()> {
        if self.restart > 0 && mcu > 0 && mcu.is_multiple_of(self.restart) {
            bits.restart()?;
        }
        for (c, [dc, ac]) in scan {
            let [across, down] = self.components[*c].sampling;
            let blocks = if scan.len() == 1 { 1 } else { across * down };
            for _ in 0..blocks {
                let size = bits.decode(&self.tables[0][*dc])?;
                bits.take(size & 15)?;
                let mut k = 1;
                while k < 64 {
                    let symbol = bits.decode(&self.tables[1][*ac])?;
                    match symbol {
                        0xF0 => k += 16,
                        _ if symbol & 15 == 0 => break,
                        _ => {
                            bits.take(symbol & 15)?;
                            k += usize::from(symbol >> 4) + 1;
                        }
                    }
                }
            }
        }
        Some(())
    }

    /// An error unless every coefficient was sent to its last bit.
    fn is_whole(&self) -> Result<(), String> {
        if self
            .components
            .iter()
            .all(|c| c.missing.iter().all(|missing| *missing == Some(0)))
        {
            return Ok(());
        }
        Err("is damaged: some of its scans are missing".into())
    }
}

/// Bits of entropy-coded data, up to the next marker.
struct Bits<'a> {
    data: &'a [u8],
    at: usize,
    value: u32,
    count: u8,
}

impl Bits<'_> {
    fn bit(&mut self) -> Option<u32> {
        if self.count == 0 {
            self.value = u32::from(match self.data.get(self.at..)? {
                [0xFF, 0x00, ..] => {
                    self.at += 2;
                    0xFF
                }
                [0xFF, ..] | [] => return None,
                [byte, ..] => {
                    self.at += 1;
                    *byte
                }
            });
            self.count = 8;
        }
        self.count -= 1;
        Some(self.value >> self.count & 1)
    }

    fn take(&mut self, count: u8) -> Option<()> {
        (0..count).try_for_each(|_| self.bit().map(drop))
    }

    /// The value of the next code (T.81, F.2.2.3).
    fn decode(&mut self, table: &Table) -> Option<u8> {
        let mut code = 0;
        let mut first = 0;
        let mut index = 0;
        for &count in &table.counts {
            code = code << 1 | self.bit()?;
            let count = u32::from(count);
            if code < first + count {
                return table.values.get((index + code - first) as usize).copied();
            }
            index += count;
            first = (first + count) << 1;
        }
        None
    }

    /// Continues after a restart marker; `None` if another marker is next.
    fn restart(&mut self) -> Option<()> {
        self.count = 0;
        let (code, after) = marker(self.data, self.at)?;
        self.at = after;
        (0xD0..=0xD7).contains(&code).then_some(())
    }
}
