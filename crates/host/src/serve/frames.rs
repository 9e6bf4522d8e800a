//! Just enough of HTTP/2's framing to know whether a client is in the middle of a head.

/// Reads frame headers out of a byte stream and skips the rest. Never fails: what is wrong with a frame is hyper's
/// business.
#[derive(Debug, Default)]
pub(super) struct FrameScan {
    header: [u8; HEADER_BYTES],
    header_have: usize,
    payload_left: usize,
    data: bool,
    /// Inside a header block that goes on in the next frame.
    in_block: bool,
    /// The opening frame has been seen.
    opened: bool,
}

/// What a piece of the stream held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Scanned {
    /// Something was completed: a frame that is not data, or a whole header block.
    pub(super) completed: bool,
    /// At the end something is incomplete that is not data.
    pub(super) incomplete: bool,
}

impl FrameScan {
    pub(super) fn scan(&mut self, mut bytes: &[u8]) -> Scanned {
        let mut completed = false;
        while !bytes.is_empty() {
            if self.header_have < HEADER_BYTES {
                let take = bytes.len().min(HEADER_BYTES - self.header_have);
                let (head, rest) = bytes.split_at(take);
                self.header[self.header_have..self.header_have + take].copy_from_slice(head);
                self.header_have += take;
                bytes = rest;
                if self.header_have < HEADER_BYTES {
                    break;
                }
                self.begin_frame();
            } else {
                let take = bytes.len().min(self.payload_left);
                self.payload_left -= take;
                bytes = &bytes[take..];
            }
            if self.payload_left == 0 {
                completed |= self.end_frame();
            }
        }
        let mid_frame = self.header_have > 0 && !(self.header_have == HEADER_BYTES && self.data);
        Scanned { completed, incomplete: mid_frame || self.in_block || !self.opened }
    }

    fn begin_frame(&mut self) {
        let [l0, l1, l2, kind, flags, ..] = self.header;
        self.payload_left = usize::from(l0) << 16 | usize::from(l1) << 8 | usize::from(l2);
        self.data = kind == KIND_DATA;
        if kind == KIND_HEADERS || kind == KIND_CONTINUATION {
            self.in_block = flags & FLAG_END_HEADERS == 0;
        }
    }

    fn end_frame(&mut self) -> bool {
        self.header_have = 0;
        self.opened = true;
        !self.data && !self.in_block
    }
}

const HEADER_BYTES: usize = 9;
const KIND_DATA: u8 = 0;
const KIND_HEADERS: u8 = 1;
const KIND_CONTINUATION: u8 = 9;
const FLAG_END_HEADERS: u8 = 4;

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, flags: u8, payload: usize) -> Vec<u8> {
        let mut bytes = vec![(payload >> 16) as u8, (payload >> 8) as u8, payload as u8, kind, flags, 0, 0, 0, 1];
        bytes.resize(9 + payload, b'x');
        bytes
    }

    const QUIET: Scanned = Scanned { completed: true, incomplete: false };

    #[test]
    fn whole_frames_leave_nothing_open() {
        let mut scan = FrameScan::default();
        assert_eq!(scan.scan(&[]), Scanned { completed: false, incomplete: true }, "no opening frame yet");
        assert_eq!(scan.scan(&frame(4, 0, 18)), QUIET);
        assert_eq!(scan.scan(&[frame(1, 4, 40), frame(0, 1, 70_000)].concat()), QUIET);
        assert_eq!(scan.scan(&frame(4, 1, 0)), QUIET);
    }

    #[test]
    fn a_block_is_open_until_its_last_continuation() {
        let mut scan = FrameScan::default();
        scan.scan(&frame(4, 0, 0));
        assert_eq!(scan.scan(&frame(1, 0, 5)), Scanned { completed: false, incomplete: true });
        assert_eq!(scan.scan(&frame(9, 0, 5)), Scanned { completed: false, incomplete: true });
        assert_eq!(scan.scan(&frame(9, 4, 5)), QUIET);
    }

    #[test]
    fn half_a_data_frame_is_not_a_head() {
        let mut scan = FrameScan::default();
        scan.scan(&frame(4, 0, 0));
        let data = frame(0, 0, 100);
        assert_eq!(scan.scan(&data[..50]), Scanned { completed: false, incomplete: false });
        assert_eq!(scan.scan(&data[50..]), Scanned { completed: false, incomplete: false });
        assert_eq!(scan.scan(&data[..4]), Scanned { completed: false, incomplete: true }, "kind not known yet");
    }

    #[test]
    fn the_cut_of_the_stream_does_not_matter() {
        let stream =
            [frame(4, 0, 12), frame(1, 0, 30), frame(9, 4, 3), frame(0, 1, 300), frame(8, 0, 4), frame(1, 5, 10)]
                .concat();
        for size in 1..stream.len() {
            let mut scan = FrameScan::default();
            let last = stream.chunks(size).map(|piece| scan.scan(piece)).last();
            assert_eq!(last, Some(QUIET), "pieces of {size}");
        }
    }
}
