//! From tokens to nodes with tags, anchors and aliases.

use std::collections::HashMap;
use std::ops::Range;
use std::rc::Rc;

use super::Error;
use super::node::Style;
use super::resolve::{self, Kind};
use super::scanner::{Placed, Scanner, Token};
use super::tag::{CORE, Tag};
use super::{MAX_DEPTH, MAX_NODES, MAX_TAG_BYTES};

/// A node whose value has not been made yet.
#[derive(Debug)]
pub(super) struct Raw {
    pub(super) tag: Tag,
    pub(super) is_tagged: bool,
    pub(super) content: Content,
    pub(super) span: Range<usize>,
    pub(super) style: Style,
    /// How deep collections are nested in this node, counting what aliases stand for: at most [`MAX_DEPTH`].
    height: usize,
}

/// A key and its value.
pub(super) type RawEntry = (Rc<Raw>, Rc<Raw>);

#[derive(Debug)]
pub(super) enum Content {
    Scalar(String),
    Sequence(Vec<Rc<Raw>>),
    Mapping(Vec<RawEntry>),
}

impl Raw {
    pub(super) fn kind(&self) -> &'static str {
        match self.content {
            Content::Scalar(_) => "a scalar",
            Content::Sequence(_) => "a list",
            Content::Mapping(_) => "a mapping",
        }
    }
}

/// The one document of `text`, if it has any.
///
/// # Errors
///
/// If PyYAML cannot parse the text, and for a second document.
pub(super) fn compose(text: &str) -> Result<Option<Rc<Raw>>, Error> {
    let mut composer =
        Composer { scanner: Scanner::new(text)?, handles: HashMap::new(), anchors: HashMap::new(), nodes: 0, end: 0 };
    let Some(root) = composer.document(true)? else { return Ok(None) };
    let end = composer.scanner.peek()?.span.clone();
    match composer.document(false)? {
        None => Ok(Some(root)),
        Some(_) => Err(Error::new("a second document begins here", end)
            .hint("cloud-init reads one document; put several into a MIME message or an archive")),
    }
}

struct Composer<'text> {
    scanner: Scanner<'text>,
    /// What tag handles stand for, from `%TAG`.
    handles: HashMap<String, String>,
    /// What anchors stand for; `None` until that node is complete.
    anchors: HashMap<String, Option<Rc<Raw>>>,
    nodes: usize,
    /// Where the last token ended.
    end: usize,
}

/// The properties before a node.
#[derive(Default)]
struct Properties {
    anchor: Option<String>,
    /// An explicit tag; the inner `None` is a `!`, with which the value's form decides.
    tag: Option<Option<Tag>>,
    start: Option<usize>,
}

impl Composer<'_> {
    fn peek(&mut self) -> Result<&Token, Error> {
        Ok(&self.scanner.peek()?.token)
    }

    fn next(&mut self) -> Result<Placed, Error> {
        let placed = self.scanner.next()?;
        self.end = placed.span.end;
        Ok(placed)
    }

    /// Takes the next token if it is this one.
    fn take(&mut self, token: &Token) -> Result<bool, Error> {
        let is_next = self.peek()? == token;
        if is_next {
            self.next()?;
        }
        Ok(is_next)
    }

    fn unexpected(&mut self, expected: &str) -> Result<Error, Error> {
        let placed = self.scanner.peek()?;
        let message = format!("{expected}, but found {}", named(&placed.token));
        Ok(Error::new(message, placed.span.clone()))
    }

    /// A document; `None` at the end of the text. Only the first one needs no `---`.
    fn document(&mut self, is_first: bool) -> Result<Option<Rc<Raw>>, Error> {
        if !is_first {
            while self.take(&Token::DocumentEnd)? {}
        }
        match self.peek()? {
            Token::StreamEnd => return Ok(None),
            Token::VersionDirective | Token::Directive | Token::TagDirective { .. } | Token::DocumentStart => {
                self.directives()?;
                if !self.take(&Token::DocumentStart)? {
                    return Err(self.unexpected("a `---` is needed here")?);
                }
            }
            _ if is_first => return self.node(Place::Block, 0).map(Some),
            _ => return Err(self.unexpected("a `---` is needed here")?),
        }
        match self.peek()? {
            Token::VersionDirective
            | Token::Directive
            | Token::TagDirective { .. }
            | Token::DocumentStart
            | Token::DocumentEnd
            | Token::StreamEnd => Ok(Some(self.empty(Properties::default()))),
            _ => self.node(Place::Block, 0).map(Some),
        }
    }

    fn directives(&mut self) -> Result<(), Error> {
        let mut has_version = false;
        loop {
            match self.peek()?.clone() {
                Token::VersionDirective => {
                    let span = self.next()?.span;
                    if std::mem::replace(&mut has_version, true) {
                        return Err(Error::new("the version is given twice", span));
                    }
                }
                Token::Directive => drop(self.next()?),
                Token::TagDirective { handle, prefix } => {
                    let span = self.next()?.span;
                    if self.handles.insert(handle, prefix).is_some() {
                        return Err(Error::new("this tag handle is declared twice", span));
                    }
                }
                _ => return Ok(()),
            }
        }
    }

    fn node(&mut self, place: Place, depth: usize) -> Result<Rc<Raw>, Error> {
        let here = self.scanner.peek()?.span.clone();
        if depth > MAX_DEPTH {
            return Err(too_deep(here));
        }
        self.nodes += 1;
        if self.nodes > MAX_NODES {
            return Err(Error::limit(format!("the text has more than {MAX_NODES} values"), here));
        }
        if let Token::Alias(name) = self.peek()?.clone() {
            let span = self.next()?.span;
            return self.alias(&name, span, depth);
        }
        let properties = self.properties()?;
        if let Some(name) = &properties.anchor {
            self.anchors.insert(name.clone(), None);
        }
        let anchor = properties.anchor.clone();
        let raw = self.content(place, properties, depth)?;
        if let Some(name) = anchor {
            self.anchors.insert(name, Some(Rc::clone(&raw)));
        }
        Ok(raw)
    }

    /// The node that an alias stands for. It adds its own nesting, which counts: all code that walks the tree recurses,
    /// even dropping it, and the depth of the text alone would not limit that.
    fn alias(&self, name: &str, span: Range<usize>, depth: usize) -> Result<Rc<Raw>, Error> {
        match self.anchors.get(name) {
            Some(Some(raw)) if depth + raw.height > MAX_DEPTH => Err(too_deep(span)),
            Some(Some(raw)) => Ok(Rc::clone(raw)),
            Some(None) => Err(Error::new(format!("`*{name}` is inside the value that it stands for"), span)),
            None => Err(Error::new(format!("there is no anchor `&{name}` for `*{name}`"), span)
                .hint("put a text that begins with `*` in quotes")),
        }
    }

    fn properties(&mut self) -> Result<Properties, Error> {
        let mut properties = Properties::default();
        loop {
            match self.peek()?.clone() {
                Token::Anchor(name) if properties.anchor.is_none() => {
                    let span = self.next()?.span;
                    if self.anchors.contains_key(&name) {
                        return Err(Error::new(format!("the anchor `&{name}` is defined twice"), span)
                            .hint("PyYAML needs a different name for each anchor"));
                    }
                    properties.start.get_or_insert(span.start);
                    properties.anchor = Some(name);
                }
                Token::Tag { handle, suffix } if properties.tag.is_none() => {
                    let span = self.next()?.span;
                    properties.start.get_or_insert(span.start);
                    properties.tag = Some(self.tag(handle, &suffix, span)?);
                }
                _ => return Ok(properties),
            }
        }
    }

    fn tag(&self, handle: Option<String>, suffix: &str, span: Range<usize>) -> Result<Option<Tag>, Error> {
        let prefix = match handle.as_deref() {
            None => "",
            Some(handle) => match self.handles.get(handle) {
                Some(prefix) => prefix,
                None if handle == "!" => "!",
                None if handle == "!!" => CORE,
                None => return Err(Error::new(format!("no `%TAG` defines `{handle}`"), span)),
            },
        };
        // One line defines a handle that can be used many times.
        if prefix.len() + suffix.len() > MAX_TAG_BYTES {
            return Err(Error::limit(format!("a tag has more than {MAX_TAG_BYTES} bytes"), span));
        }
        Ok(Tag::written(&format!("{prefix}{suffix}")))
    }

    fn content(&mut self, place: Place, properties: Properties, depth: usize) -> Result<Rc<Raw>, Error> {
        match self.peek()?.clone() {
            Token::BlockEntry if place == Place::BlockOrIndentless => {
                let start = self.scanner.peek()?.span.start;
                let items = self.indentless_sequence(depth)?;
                Ok(self.collection(properties, start, Content::Sequence(items)))
            }
            Token::Scalar { text, style } => {
                let span = self.next()?.span;
                Ok(Rc::new(scalar(&properties, text, style, span)))
            }
            Token::FlowSequenceStart => {
                let start = self.next()?.span.start;
                let items = self.flow_sequence(depth)?;
                Ok(self.collection(properties, start, Content::Sequence(items)))
            }
            Token::FlowMappingStart => {
                let start = self.next()?.span.start;
                let entries = self.flow_mapping(depth)?;
                Ok(self.collection(properties, start, Content::Mapping(entries)))
            }
            Token::BlockSequenceStart if place != Place::Flow => {
                let start = self.next()?.span.start;
                let items = self.block_sequence(depth)?;
                Ok(self.collection(properties, start, Content::Sequence(items)))
            }
            Token::BlockMappingStart if place != Place::Flow => {
                let start = self.next()?.span.start;
                let entries = self.block_mapping(depth)?;
                Ok(self.collection(properties, start, Content::Mapping(entries)))
            }
            _ if properties.anchor.is_some() || properties.tag.is_some() => Ok(self.empty(properties)),
            _ => Err(self.unexpected("a value is needed here")?),
        }
    }

    fn collection(&self, properties: Properties, start: usize, content: Content) -> Rc<Raw> {
        let tag = properties.tag.clone().flatten().unwrap_or(match content {
            Content::Sequence(_) => Tag::Sequence,
            _ => Tag::Mapping,
        });
        let end = match &content {
            // A block ends where its last value does, not at the next line.
            Content::Sequence(items) => items.last().map(|item| item.span.end),
            Content::Mapping(entries) => entries.last().map(|(key, value)| value.span.end.max(key.span.end)),
            Content::Scalar(_) => None,
        };
        let text = self.scanner.text.text;
        let is_flow = text[start..].starts_with(['[', '{']);
        let end = end.filter(|_| !is_flow).unwrap_or(self.end).max(start);
        let span = placed(&properties, &tag, start..end);
        let within = match &content {
            Content::Sequence(items) => items.iter().map(|item| item.height).max(),
            Content::Mapping(entries) => entries.iter().map(|(key, value)| key.height.max(value.height)).max(),
            Content::Scalar(_) => None,
        };
        let height = 1 + within.unwrap_or(0);
        Rc::new(Raw { tag, is_tagged: properties.tag.is_some(), content, span, style: Style::Collection, height })
    }

    /// An empty value.
    fn empty(&self, properties: Properties) -> Rc<Raw> {
        let span = properties.start.unwrap_or(self.end)..self.end;
        Rc::new(scalar(&properties, String::new(), Style::Plain, span))
    }

    fn nothing(&self) -> Rc<Raw> {
        self.empty(Properties::default())
    }

    fn block_sequence(&mut self, depth: usize) -> Result<Vec<Rc<Raw>>, Error> {
        let mut items = Vec::new();
        while self.take(&Token::BlockEntry)? {
            items.push(match self.peek()? {
                Token::BlockEntry | Token::BlockEnd => self.nothing(),
                _ => self.node(Place::Block, depth + 1)?,
            });
        }
        self.block_end("this list")?;
        Ok(items)
    }

    fn indentless_sequence(&mut self, depth: usize) -> Result<Vec<Rc<Raw>>, Error> {
        let mut items = Vec::new();
        while self.take(&Token::BlockEntry)? {
            items.push(match self.peek()? {
                Token::BlockEntry | Token::Key | Token::Value | Token::BlockEnd => self.nothing(),
                _ => self.node(Place::Block, depth + 1)?,
            });
        }
        Ok(items)
    }

    fn block_mapping(&mut self, depth: usize) -> Result<Vec<RawEntry>, Error> {
        let mut entries = Vec::new();
        while self.take(&Token::Key)? {
            let key = self.block_part(depth)?;
            let value = match self.take(&Token::Value)? {
                true => self.block_part(depth)?,
                false => self.nothing(),
            };
            entries.push((key, value));
        }
        self.block_end("this mapping")?;
        Ok(entries)
    }

    /// A key or a value of a block.
    fn block_part(&mut self, depth: usize) -> Result<Rc<Raw>, Error> {
        match self.peek()? {
            Token::Key | Token::Value | Token::BlockEnd => Ok(self.nothing()),
            _ => self.node(Place::BlockOrIndentless, depth + 1),
        }
    }

    fn block_end(&mut self, what: &str) -> Result<(), Error> {
        if self.peek()? == &Token::BlockEnd {
            // The token is at the start of the next line, but the block ends before.
            self.scanner.next()?;
            return Ok(());
        }
        let mut error = self.unexpected(&format!("{what} must continue or end here"))?;
        error.hint = Some("indent lines that belong together by the same number of spaces".to_owned());
        Err(error)
    }

    fn flow_sequence(&mut self, depth: usize) -> Result<Vec<Rc<Raw>>, Error> {
        let mut items = Vec::new();
        while self.peek()? != &Token::FlowSequenceEnd {
            if !items.is_empty() && !self.take(&Token::FlowEntry)? {
                return Err(self.flow_unexpected("a `,` or a `]` is needed here")?);
            }
            match self.peek()? {
                Token::Key => items.push(self.flow_pair(depth)?),
                Token::FlowSequenceEnd => {}
                _ => items.push(self.node(Place::Flow, depth + 1)?),
            }
        }
        self.next()?;
        Ok(items)
    }

    /// A mapping of one entry, without braces, in a list at `depth`.
    fn flow_pair(&mut self, depth: usize) -> Result<Rc<Raw>, Error> {
        let start = self.next()?.span.start;
        let depth = depth + 1;
        let key = self.flow_part(&[Token::Value, Token::FlowEntry, Token::FlowSequenceEnd], depth)?;
        let value = match self.take(&Token::Value)? {
            true => self.flow_part(&[Token::FlowEntry, Token::FlowSequenceEnd], depth)?,
            false => self.nothing(),
        };
        Ok(self.collection(Properties::default(), start, Content::Mapping(vec![(key, value)])))
    }

    fn flow_part(&mut self, ends: &[Token], depth: usize) -> Result<Rc<Raw>, Error> {
        match ends.contains(self.peek()?) {
            true => Ok(self.nothing()),
            false => self.node(Place::Flow, depth + 1),
        }
    }

    fn flow_mapping(&mut self, depth: usize) -> Result<Vec<RawEntry>, Error> {
        let mut entries = Vec::new();
        while self.peek()? != &Token::FlowMappingEnd {
            if !entries.is_empty() && !self.take(&Token::FlowEntry)? {
                return Err(self.flow_unexpected("a `,` or a `}` is needed here")?);
            }
            match self.peek()? {
                Token::Key => {
                    self.next()?;
                    let key = self.flow_part(&[Token::Value, Token::FlowEntry, Token::FlowMappingEnd], depth)?;
                    let value = match self.take(&Token::Value)? {
                        true => self.flow_part(&[Token::FlowEntry, Token::FlowMappingEnd], depth)?,
                        false => self.nothing(),
                    };
                    entries.push((key, value));
                }
                Token::FlowMappingEnd => {}
                _ => {
                    let key = self.node(Place::Flow, depth + 1)?;
                    entries.push((key, self.nothing()));
                }
            }
        }
        self.next()?;
        Ok(entries)
    }

    fn flow_unexpected(&mut self, expected: &str) -> Result<Error, Error> {
        let error = self.unexpected(expected)?;
        Ok(match self.peek()? {
            Token::Key => error.hint("put a text with `?` in brackets or braces in quotes"),
            Token::StreamEnd => error,
            _ => error.hint("put a text with `,`, `:`, brackets or braces in quotes"),
        })
    }
}

/// Where a node is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Block,
    /// A list here need not be indented.
    BlockOrIndentless,
    /// In brackets or braces.
    Flow,
}

fn too_deep(span: Range<usize>) -> Error {
    Error::limit(format!("the text is nested more than {MAX_DEPTH} deep, counting what aliases stand for"), span)
}

fn scalar(properties: &Properties, text: String, style: Style, span: Range<usize>) -> Raw {
    let tag = match (&properties.tag, style) {
        (Some(Some(tag)), _) => tag.clone(),
        // With the tag `!` the value's form decides, in quotes too.
        (None, Style::Quoted | Style::Block) => Tag::Scalar(Kind::String),
        _ => Tag::Scalar(resolve::kind(&text)),
    };
    let span = placed(properties, &tag, span);
    Raw { tag, is_tagged: properties.tag.is_some(), content: Content::Scalar(text), span, style, height: 0 }
}

/// The place of a node; with its tag, if an error would be about that.
fn placed(properties: &Properties, tag: &Tag, span: Range<usize>) -> Range<usize> {
    match (tag, properties.start) {
        (Tag::Unknown(_), Some(start)) => start..span.end,
        _ => span,
    }
}

/// A token, for people.
fn named(token: &Token) -> String {
    let name = match token {
        Token::VersionDirective | Token::Directive | Token::TagDirective { .. } => "a directive",
        Token::DocumentStart => "`---`",
        Token::DocumentEnd => "`...`",
        Token::StreamEnd => "the end of the text",
        Token::BlockSequenceStart => "a list",
        Token::BlockMappingStart => "a mapping",
        Token::BlockEnd => "the end of the block",
        Token::FlowSequenceStart => "`[`",
        Token::FlowSequenceEnd => "`]`",
        Token::FlowMappingStart => "`{`",
        Token::FlowMappingEnd => "`}`",
        Token::FlowEntry => "`,`",
        Token::BlockEntry => "`-`",
        Token::Key => "a key",
        Token::Value => "`:`",
        Token::Alias(name) => return format!("`*{name}`"),
        Token::Anchor(name) => return format!("`&{name}`"),
        Token::Tag { .. } => "a tag",
        Token::Scalar { .. } => "a text",
    };
    name.to_owned()
}
