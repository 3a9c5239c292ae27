//! A seed in one line: on the kernel's command line, or as the machine's serial number.

use std::fmt;

/// The line that tells a guest where its seed is, and how it is quoted for each program that passes it on.
///
/// ```
/// use seed::{Line, LineReader};
///
/// let line = Line::new(Some("http://10.0.2.2:8000"), None, Some("one"))?;
/// assert_eq!(line.to_string(), "ds=nocloud;dsmode=net;s=http://10.0.2.2:8000/;i=one");
/// assert_eq!(line.for_reader(LineReader::Grub), r"ds=nocloud\;dsmode=net\;s=http://10.0.2.2:8000/\;i=one");
/// # Ok::<(), seed::LineError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line(String);

/// Who reads a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LineReader {
    /// The guest itself: nothing is quoted.
    Guest,
    /// A shell: one word, for QEMU's `-append` for example.
    Shell,
    /// A shell that starts QEMU: the option that makes it the machine's serial number.
    Qemu,
    /// libvirt: the elements of a domain that make it the machine's serial number.
    Libvirt,
    /// GRUB: a word for a `linux` line in grub.cfg.
    Grub,
    /// The shell that reads /etc/default/grub, for GRUB: a line of that file.
    GrubDefault,
}

/// Why a line cannot be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LineError {
    /// An address that cloud-init does not fetch from.
    #[error("`{0}` is not an address that begins with `http://` or `https://`")]
    NotHttp(String),
    /// A character that ends a value or a word, or that a program on the way would misread.
    #[error("`{}` cannot be in such a line (in `{value}`)", .character.escape_default())]
    Character {
        /// What it is in.
        value: String,
        /// The character.
        character: char,
    },
}

impl Line {
    /// The line with an address that the seed is fetched from, the guest's name, and its instance-id.
    ///
    /// `dsmode=net` in the line says that the seed comes over the network. Older versions of cloud-init, 22.4 among
    /// them, would otherwise need `ds=nocloud-net` for that, and silently ignore such a seed; for versions
    /// since 24.1 that name is outdated. To an address that ends in a name, `/` is added, as older versions do not.
    ///
    /// # Errors
    ///
    /// [`LineError`] for values that no line can carry.
    pub fn new(url: Option<&str>, local_hostname: Option<&str>, instance_id: Option<&str>) -> Result<Self, LineError> {
        let mut line = "ds=nocloud".to_owned();
        if let Some(url) = url {
            if !["http://", "https://"]
                .iter()
                .any(|scheme| url.strip_prefix(scheme).is_some_and(|rest| !rest.is_empty()))
            {
                return Err(LineError::NotHttp(url.to_owned()));
            }
            // If the address has a `%s` or a `?`, cloud-init puts the file's name there or at the end.
            let is_whole = url.ends_with('/') || url.contains("%s") || url.contains('?');
            line.push_str(";dsmode=net");
            push(&mut line, 's', url)?;
            line.push_str(if is_whole { "" } else { "/" });
        }
        for (key, value) in [('h', local_hostname), ('i', instance_id)] {
            if let Some(value) = value {
                push(&mut line, key, value)?;
            }
        }
        Ok(Self(line))
    }

    /// The line, quoted for `reader`.
    pub fn for_reader(&self, reader: LineReader) -> String {
        match reader {
            LineReader::Guest => self.0.clone(),
            LineReader::Shell => in_single_quotes(&self.0),
            LineReader::Qemu => format!("-smbios {}", in_single_quotes(&self.smbios())),
            LineReader::Libvirt => {
                let serial = in_xml(&self.0);
                format!(
                    "<os>\n  <smbios mode='sysinfo'/>\n</os>\n<sysinfo type='smbios'>\n  <system>\n    \
                     <entry name='serial'>{serial}</entry>\n  </system>\n</sysinfo>"
                )
            }
            LineReader::Grub => in_grub(&self.0),
            LineReader::GrubDefault => {
                // GRUB gets the text in single quotes unchanged.
                format!("GRUB_CMDLINE_LINUX=\"$GRUB_CMDLINE_LINUX \"{}", in_single_quotes(&in_grub(&self.0)))
            }
        }
    }

    /// The value of QEMU's `-smbios`, if no shell reads it first.
    pub fn smbios(&self) -> String {
        format!("type=1,serial={}", self.0.replace(',', ",,"))
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Adds a value that no program misreads: neither cloud-init, which separates at `;` and blanks,
/// nor GRUB, which puts `\` before quotes, nor the kernel.
fn push(line: &mut String, key: char, value: &str) -> Result<(), LineError> {
    let is_bad = |character: char| !character.is_ascii_graphic() || matches!(character, ';' | '"' | '\'' | '\\');
    match value.chars().find(|&character| is_bad(character)) {
        Some(character) => Err(LineError::Character { value: value.to_owned(), character }),
        None => {
            line.extend([';', key, '=']);
            line.push_str(value);
            Ok(())
        }
    }
}

fn in_single_quotes(text: &str) -> String {
    // There is no single quote in it: `push` sees to that.
    format!("'{text}'")
}

fn in_xml(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// Each character that may be special to GRUB gets a `\` before it: GRUB's manual, "Quoting".
fn in_grub(text: &str) -> String {
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "=-_./:,%+@".contains(letter);
    let mut escaped = String::new();
    for letter in text.chars() {
        if !is_plain(letter) {
            escaped.push('\\');
        }
        escaped.push(letter);
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_what_it_is_given() {
        let line = |url, host, id| Line::new(url, host, id).map(|line| line.to_string());
        assert_eq!(line(None, None, None).unwrap(), "ds=nocloud");
        assert_eq!(line(None, Some("web"), Some("i-1")).unwrap(), "ds=nocloud;h=web;i=i-1");
        for (url, said) in [("http://a", "http://a/"), ("https://a/b/", "https://a/b/"), ("http://a/%s", "http://a/%s")]
        {
            assert_eq!(line(Some(url), None, None).unwrap(), format!("ds=nocloud;dsmode=net;s={said}"));
        }
        for url in ["", "10.0.2.2", "ftp://a/", "http://", "file:///seed"] {
            assert_eq!(Line::new(Some(url), None, None), Err(LineError::NotHttp(url.to_owned())));
        }
        for (url, character) in [("http://a/;b", ';'), ("http://a/'", '\''), ("http://a b", ' '), ("http://ö/", 'ö')]
        {
            let error = LineError::Character { value: url.to_owned(), character };
            assert_eq!(Line::new(Some(url), None, None), Err(error));
        }
    }
}
