//! Reads server-sent events out of bytes. Pure: it is fed what arrives and gives whole frames; it knows
//! no connection and no event of ours.

/// Longest frame; a longer one is no answer of our server.
const MOST: usize = 16 * 1024 * 1024;

/// One event of a stream.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Frame {
    /// Position to resume after.
    pub id: Option<String>,
    /// Its name; empty = `message`.
    pub event: String,
    /// Its text.
    pub data: String,
}

/// The frame under way.
#[derive(Debug, Default)]
pub struct Reader {
    line: Vec<u8>,
    frame: Frame,
    has_data: bool,
    /// The last byte was a carriage return, so a line feed that follows ends nothing.
    after_return: bool,
    /// Bytes of the frame so far.
    length: usize,
}

/// A frame without end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooLong;

impl Reader {
    /// Takes bytes; adds the frames they complete.
    pub fn feed(&mut self, bytes: &[u8], frames: &mut Vec<Frame>) -> Result<(), TooLong> {
        for &byte in bytes {
            let after_return = std::mem::replace(&mut self.after_return, byte == b'\r');
            match byte {
                b'\n' if after_return => {}
                b'\n' | b'\r' => self.end_line(frames),
                _ => {
                    self.length += 1;
                    if self.length > MOST {
                        return Err(TooLong);
                    }
                    self.line.push(byte);
                }
            }
        }
        Ok(())
    }

    fn end_line(&mut self, frames: &mut Vec<Frame>) {
        let line = String::from_utf8_lossy(&self.line).into_owned();
        self.line.clear();
        if line.is_empty() {
            let frame = std::mem::take(&mut self.frame);
            self.length = 0;
            if std::mem::take(&mut self.has_data) {
                frames.push(frame);
            }
            return;
        }
        let (field, value) = line.split_once(':').unwrap_or((&line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "id" if !value.contains('\0') => self.frame.id = Some(value.to_owned()),
            "event" => value.clone_into(&mut self.frame.event),
            "data" => {
                if self.has_data {
                    self.frame.data.push('\n');
                }
                self.frame.data.push_str(value);
                self.has_data = true;
            }
            // A comment (no field name) keeps the connection open; other fields are not for us.
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(chunks: &[&[u8]]) -> Vec<Frame> {
        let (mut reader, mut frames) = (Reader::default(), Vec::new());
        for chunk in chunks {
            reader.feed(chunk, &mut frames).unwrap();
        }
        frames
    }

    fn frame(id: Option<&str>, event: &str, data: &str) -> Frame {
        Frame { id: id.map(str::to_owned), event: event.to_owned(), data: data.to_owned() }
    }

    #[test]
    fn frames_are_read_however_they_arrive() {
        let stream = "retry: 10\n: hello\n\nid: 7\nevent: paused\ndata: {\"a\":\ndata: \"é\"}\n\nid:8\r\ndata:x\r\n\r\ndata\n\nevent: lost\n\ndata: cut";
        let wanted = vec![
            frame(Some("7"), "paused", "{\"a\":\n\"é\"}"),
            frame(Some("8"), "", "x"),
            frame(None, "", ""),
        ];
        assert_eq!(read(&[stream.as_bytes()]), wanted);
        for size in 1..9 {
            let chunks: Vec<&[u8]> = stream.as_bytes().chunks(size).collect();
            assert_eq!(read(&chunks), wanted, "{size}");
        }
    }

    #[test]
    fn a_frame_has_an_end() {
        let (mut reader, mut frames) = (Reader::default(), Vec::new());
        let piece = vec![b'x'; 1024 * 1024];
        let fed: Vec<_> = (0..20).map(|_| reader.feed(&piece, &mut frames)).collect();
        assert_eq!((fed[0], fed[19]), (Ok(()), Err(TooLong)));
        assert_eq!(read(&[&b"\xff\xfe\n\n"[..]]), vec![]);
    }
}
