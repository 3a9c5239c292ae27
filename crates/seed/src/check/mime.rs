//! A reader of MIME messages, as Python's `email` reads them.

use std::ops::Range;

use super::finding::{Finding, Findings};
use crate::base64;

/// cloud-init looks for `MIME-Version:` in this many bytes.
const MAX_HEADER_BYTES: usize = 4096;
/// How deep messages may be nested.
const MAX_DEPTH: usize = 8;
/// How many parts are looked at.
const MAX_PARTS: usize = 1000;

/// A part that is not a container.
#[derive(Debug)]
pub(super) struct Part<'text> {
    /// In lower case, without parameters.
    pub(super) content_type: String,
    pub(super) file_name: Option<String>,
    /// Where its headers are.
    pub(super) header: Range<usize>,
    /// Where its content is.
    pub(super) span: Range<usize>,
    /// The decoded content, if the part is encoded; an error if it cannot be decoded.
    pub(super) decoded: Option<Result<Vec<u8>, &'text str>>,
}

/// Whether cloud-init reads the text as a message.
pub(super) fn is_message(text: &str) -> bool {
    let bytes = &text.as_bytes()[..text.len().min(MAX_HEADER_BYTES)];
    let has_version = bytes.to_ascii_lowercase().windows(13).any(|window| window == b"mime-version:");
    // So is a text that only mentions it and has no headers.
    has_version && text.lines().next().is_some_and(|line| field(line).is_some())
}

/// The parts of a message, including those of its containers.
pub(super) fn parts<'text>(text: &'text str, findings: &mut Findings<'_>) -> Vec<Part<'text>> {
    let mut reader = Reader { text, parts: Vec::new(), findings };
    reader.message(0..text.len(), 0);
    if reader.parts.is_empty() && reader.findings.is_empty() {
        reader.findings.push(Finding::error("mime", "this message has no parts", 0..0));
    }
    reader.parts
}

struct Reader<'text, 'findings, 'known> {
    text: &'text str,
    parts: Vec<Part<'text>>,
    findings: &'findings mut Findings<'known>,
}

#[derive(Default)]
struct Headers {
    content_type: Option<(String, Range<usize>)>,
    encoding: Option<(String, Range<usize>)>,
    disposition: Option<String>,
}

/// The headers that matter.
#[derive(Clone, Copy)]
enum Name {
    ContentType,
    Encoding,
    Disposition,
}

impl Name {
    fn of(name: &str) -> Option<Self> {
        Some(match name.to_ascii_lowercase().as_str() {
            "content-type" => Self::ContentType,
            "content-transfer-encoding" => Self::Encoding,
            "content-disposition" => Self::Disposition,
            _ => return None,
        })
    }
}

struct Field {
    name: Name,
    value: String,
    place: Range<usize>,
}

impl Headers {
    /// Of several headers of one name the last one counts.
    fn take(&mut self, field: Option<Field>) {
        let Some(Field { name, value, place }) = field else { return };
        match name {
            Name::ContentType => self.content_type = Some((value, place)),
            Name::Encoding => self.encoding = Some((value, place)),
            Name::Disposition => self.disposition = Some(value),
        }
    }
}

impl<'text> Reader<'text, '_, '_> {
    fn message(&mut self, span: Range<usize>, depth: usize) {
        let (headers, body) = self.headers(span.clone());
        let (value, place) = headers.content_type.clone().unwrap_or(("text/plain".to_owned(), span.start..span.start));
        let content_type = value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        if content_type.starts_with("multipart/") {
            if depth >= MAX_DEPTH {
                let message = format!("messages are nested more than {MAX_DEPTH} deep");
                return self.findings.push(Finding::error("mime", message, place));
            }
            return self.container(&value, place, body, depth);
        }
        if self.parts.len() >= MAX_PARTS {
            return;
        }
        let content_type = match content_type.split_once('/') {
            Some((main, sub)) if !main.is_empty() && !sub.is_empty() => content_type,
            // As Python has it.
            _ => "text/plain".to_owned(),
        };
        let file_name = headers.disposition.as_deref().and_then(|value| parameter(value, "filename"));
        let content = &self.text[body.clone()];
        let decoded =
            headers.encoding.and_then(|(encoding, place)| match encoding.trim().to_ascii_lowercase().as_str() {
                "base64" => Some(base64::decode(content).ok_or("the part's base64 text is cut off")),
                "quoted-printable" => Some(Ok(quoted_printable(content))),
                "7bit" | "8bit" | "binary" | "" => None,
                _ => {
                    let message = format!("the encoding `{}` is unknown", encoding.trim());
                    self.findings.push(
                        Finding::warning("mime", message, place).hint("use `base64`, `quoted-printable` or `8bit`"),
                    );
                    None
                }
            });
        self.parts.push(Part { content_type, file_name, header: span.start..body.start, span: body, decoded });
    }

    fn container(&mut self, value: &str, place: Range<usize>, body: Range<usize>, depth: usize) {
        let Some(boundary) = parameter(value, "boundary").filter(|boundary| !boundary.is_empty()) else {
            let message = "this multipart message has no boundary";
            return self.findings.push(Finding::error("mime", message, place).hint("add `; boundary=\"…\"`"));
        };
        let delimiter = format!("--{boundary}");
        let (mut starts, mut end) = (Vec::new(), None);
        let mut at = body.start;
        for line in self.text[body.clone()].split_inclusive('\n') {
            match line.trim_end().strip_prefix(&delimiter) {
                Some("") => starts.push((at, at + line.len())),
                Some("--") => {
                    end = Some(at);
                    break;
                }
                _ => {}
            }
            at += line.len();
        }
        if starts.is_empty() {
            let message = format!("no part begins with `{delimiter}`");
            return self.findings.push(Finding::error("mime", message, place));
        }
        if end.is_none() {
            let message = format!("the message's end is missing: `{delimiter}--`");
            self.findings.push(Finding::warning("mime", message, place));
        }
        let ends = starts.iter().skip(1).map(|(line, _)| *line).chain([end.unwrap_or(body.end)]);
        let spans: Vec<Range<usize>> = starts.iter().zip(ends).map(|((_, start), end)| *start..end).collect();
        for span in spans {
            // The break before a delimiter is the delimiter's.
            let content = &self.text[span.clone()];
            let content = content.strip_suffix('\n').unwrap_or(content);
            let content = content.strip_suffix('\r').unwrap_or(content);
            self.message(span.start..span.start + content.len(), depth + 1);
        }
    }

    /// The headers, and where the content after them begins.
    fn headers(&mut self, span: Range<usize>) -> (Headers, Range<usize>) {
        let mut headers = Headers::default();
        // The header that continues in a line that begins with a blank; the other headers are not kept.
        let mut last: Option<Field> = None;
        let mut is_first = true;
        let mut at = span.start;
        for line in self.text[span.clone()].split_inclusive('\n') {
            let words = line.trim_end();
            let place = at..at + words.len();
            if words.is_empty() {
                at += line.len();
                break;
            }
            if line.starts_with([' ', '\t']) && !is_first {
                if let Some(field) = &mut last {
                    field.value.push(' ');
                    field.value.push_str(words.trim());
                    field.place.end = at + words.len();
                }
            } else if let Some((name, value)) = field(words) {
                headers.take(last.take());
                last = Name::of(name).map(|name| Field { name, value: value.to_owned(), place });
                is_first = false;
            } else {
                // Anything that is not a header is content.
                break;
            }
            at += line.len();
        }
        headers.take(last);
        (headers, at.min(span.end)..span.end)
    }
}

/// A header's name and value.
fn field(line: &str) -> Option<(&str, &str)> {
    let (name, value) = line.split_once(':')?;
    let is_name = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic());
    (is_name && !name.starts_with('#')).then(|| (name, value.trim()))
}

/// A parameter after a header's value.
fn parameter(value: &str, name: &str) -> Option<String> {
    let mut rest = value;
    while let Some((_, parameters)) = rest.split_once(';') {
        rest = parameters;
        // Only up to the next one: searching the whole rest for each would take too long.
        let this = parameters.split(';').next().unwrap_or_default();
        let Some((found, _)) = this.split_once('=') else { continue };
        let text = &parameters[found.len() + 1..];
        if !found.trim().eq_ignore_ascii_case(name) {
            continue;
        }
        let text = text.trim_start();
        return Some(match text.strip_prefix('"') {
            Some(quoted) => quoted.split('"').next().unwrap_or_default().to_owned(),
            None => text.split(';').next().unwrap_or_default().trim().to_owned(),
        });
    }
    None
}

fn quoted_printable(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('=') {
        bytes.extend(rest[..at].bytes());
        rest = &rest[at + 1..];
        let number = rest.get(..2).and_then(|digits| u8::from_str_radix(digits, 16).ok());
        if let Some(next) = rest.strip_prefix("\r\n").or_else(|| rest.strip_prefix('\n')) {
            rest = next;
        } else if let Some(number) = number {
            bytes.push(number);
            rest = &rest[2..];
        } else {
            bytes.push(b'=');
        }
    }
    bytes.extend(rest.bytes());
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_found_in_quotes_and_without() {
        let value = "multipart/mixed; charset=\"a;b\"; BOUNDARY=\"==x; y==\" ; z=1";
        assert_eq!(parameter(value, "boundary").as_deref(), Some("==x; y=="));
        assert_eq!(parameter(value, "z").as_deref(), Some("1"));
        assert_eq!(parameter("attachment; filename=a.txt", "filename").as_deref(), Some("a.txt"));
        assert_eq!(parameter("text/plain", "boundary"), None);
    }

    #[test]
    fn quoted_printable_has_its_bytes() {
        assert_eq!(quoted_printable("a=3Db=\nc=C3=BC=zz"), "a=bcü=zz".as_bytes());
    }
}
