//! The words of a command line that was meant for another program: which of them is the image.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

/// How the virt tools and guestfish say which image it is.
pub(super) const ADD: [&str; 2] = ["-a", "--add"];
/// What they and Docker are told besides, which imgraft needs not be.
const NEEDLESS: [&str; 7] = ["-i", "--inspector", "--ro", "--rw", "-it", "-ti", "--rm"];
/// How names of images end.
const ENDS: [&str; 8] = ["img", "qcow2", "qcow", "raw", "vmdk", "vhd", "vhdx", "vdi"];

/// What was typed after the command.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Given {
    pub(super) image: Option<OsString>,
    /// Everything else, options among it.
    pub(super) rest: Vec<OsString>,
    /// Everything else but the options.
    pub(super) words: Vec<OsString>,
    /// How many of the words stood before the image.
    pub(super) before: usize,
    /// Everything that stood after the image.
    pub(super) after: Vec<OsString>,
}

impl Given {
    pub(super) fn new(arguments: &[OsString]) -> Self {
        let mut given = Self::default();
        // Each thing that is not an option, with its place among all arguments.
        let mut places = Vec::new();
        let mut rest = Vec::new();
        let mut arguments_left = arguments.iter().enumerate();
        let mut are_options_over = false;
        while let Some((place, argument)) = arguments_left.next() {
            let bytes = argument.as_bytes();
            if are_options_over || bytes == b"-" || !bytes.starts_with(b"-") {
                places.push(place);
            } else if argument == "--" {
                are_options_over = true;
                continue;
            } else if ADD.iter().any(|add| argument == add) {
                if let Some((place, image)) = arguments_left.next()
                    && given.image.is_none()
                {
                    given.image = Some(image.clone());
                    given.after = arguments[place + 1..].to_vec();
                }
                continue;
            } else if let Some(image) = bytes.strip_prefix(b"--add=") {
                given.image.get_or_insert_with(|| OsStr::from_bytes(image).to_owned());
                continue;
            } else if NEEDLESS.iter().any(|needless| argument == needless) {
                continue;
            }
            rest.push(place);
        }
        if given.image.is_none()
            && let Some(index) = image_of(places.iter().map(|&place| arguments[place].as_os_str()))
        {
            let place = places[index];
            let (image, path) = split(&arguments[place]);
            given.image = Some(image);
            given.before = index;
            given.after = arguments[place + 1..].to_vec();
            let of =
                |place: usize| if place == arguments.len() { path.clone() } else { Some(arguments[place].clone()) };
            // What stood after the image's colon stands for itself.
            for list in [&mut places, &mut rest] {
                list.iter_mut().filter(|other| **other == place).for_each(|other| *other = arguments.len());
            }
            given.words = places.into_iter().filter_map(of).collect();
            given.rest = rest.into_iter().filter_map(of).collect();
        } else {
            given.words = places.into_iter().map(|place| arguments[place].clone()).collect();
            given.rest = rest.into_iter().map(|place| arguments[place].clone()).collect();
        }
        if given.after.first().is_some_and(|first| first == "--") {
            given.after.remove(0);
        }
        given
    }
}

/// Which of `words` is the image: one that is called like one, else one that is there, else the first that is no path of
/// the guest.
fn image_of<'a>(words: impl Iterator<Item = &'a OsStr> + Clone) -> Option<usize> {
    let called = |word: &OsStr| is_called_like_an_image(&split(word).0);
    let there = |word: &OsStr| Path::new(word).is_file();
    let no_path = |word: &OsStr| !word.as_bytes().starts_with(b"/");
    words.clone().position(called).or_else(|| words.clone().position(there)).or_else(|| words.clone().position(no_path))
}

pub(super) fn is_called_like_an_image(word: &OsStr) -> bool {
    Path::new(word).extension().is_some_and(|end| ENDS.iter().any(|known| end == *known))
}

/// The image and the path of `IMAGE:/PATH`, as Docker and `scp` have it.
fn split(word: &OsStr) -> (OsString, Option<OsString>) {
    let bytes = word.as_bytes();
    match bytes.windows(2).position(|pair| pair == b":/") {
        Some(colon) if is_called_like_an_image(OsStr::from_bytes(&bytes[..colon])) => {
            (OsString::from_vec(bytes[..colon].to_vec()), Some(OsString::from_vec(bytes[colon + 1..].to_vec())))
        }
        _ => (word.to_owned(), None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(line: &str) -> (Option<String>, String, String, String) {
        let arguments: Vec<OsString> = line.split_ascii_whitespace().map(OsString::from).collect();
        let joined = |words: Vec<OsString>| words.join(OsStr::new(" ")).into_string().unwrap();
        let given = Given::new(&arguments);
        let image = given.image.map(|image| image.into_string().unwrap());
        (image, joined(given.words), joined(given.rest), joined(given.after))
    }

    #[test]
    fn the_image_is_found_wherever_it_stands() {
        for (line, image, words, rest, after) in [
            ("my.img /a /b", "my.img", "/a /b", "/a /b", "/a /b"),
            ("-rf my.img /a", "my.img", "/a", "-rf /a", "/a"),
            ("-a disk /a -i", "disk", "/a", "/a", "/a -i"),
            ("--add=disk /a", "disk", "/a", "/a", ""),
            ("app my.img:/srv/", "my.img", "app /srv/", "app /srv/", ""),
            ("app:/srv/app my.qcow2", "my.qcow2", "app:/srv/app", "app:/srv/app", ""),
            ("-it my.img -- sh -c x", "my.img", "sh -c x", "sh -c x", "sh -c x"),
            ("disk /a", "disk", "/a", "/a", "/a"),
            ("/a disk", "disk", "/a", "/a", ""),
        ] {
            let expected = (Some(image.to_owned()), words.to_owned(), rest.to_owned(), after.to_owned());
            assert_eq!(given(line), expected, "{line}");
        }
        assert_eq!(given("/a"), (None, "/a".to_owned(), "/a".to_owned(), String::new()));
        assert_eq!(given("-a"), (None, String::new(), String::new(), String::new()));
    }
}
