//! The cursor of the strict JSON reader.
//!
//! Walks a text once, for `fields` and `body`, and hands what it finds to a builder. It never copies a string that has
//! no escapes, and never recurses deeper than [`JSON_DEPTH_MAX`].

use super::{Build, JSON_DEPTH_MAX, JsonError, JsonFault, Number, Reading, Text};
use kith_types::find_json_special;
use std::borrow::Cow;
use std::collections::HashSet;

/// From this many keys on, an object's keys are looked up in a set: comparing each with each would be quadratic.
const KEYS_COMPARED_MAX: usize = 48;

/// A cursor in a text.
pub(crate) struct Reader<'a> {
    text: &'a str,
    /// Bytes read.
    pub(crate) at: usize,
    /// Keys of the objects that stand open, those of inner ones last.
    keys: Vec<Cow<'a, str>>,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        Self {
            text,
            at: 0,
            keys: Vec::new(),
        }
    }

    /// The next byte that is not blank.
    #[inline]
    pub(crate) fn peek(&mut self) -> Option<u8> {
        let bytes = self.text.as_bytes();
        while let Some(byte) = bytes.get(self.at) {
            if !matches!(byte, b' ' | b'\n' | b'\r' | b'\t') {
                return Some(*byte);
            }
            self.at += 1;
        }
        None
    }

    /// Passes that byte, if it comes next.
    #[inline]
    pub(crate) fn eat(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    pub(crate) fn fault<T>(&self, fault: JsonFault) -> Reading<T> {
        Err(JsonError::new(fault, self.at))
    }

    /// Demands that nothing but blanks follows.
    pub(crate) fn end(&mut self) -> Reading<()> {
        if self.peek().is_none() {
            Ok(())
        } else {
            self.fault(JsonFault::Expected("the end of the text"))
        }
    }

    /// Reads the value that comes next; `depth` objects and lists stand open around it.
    pub(crate) fn value<B: Build>(&mut self, depth: usize) -> Reading<B::Node> {
        match self.peek() {
            Some(b'"') => Ok(B::string(self.string()?)),
            Some(b'{') => Ok(B::object(self.object::<B>(depth)?)),
            Some(b'[') => {
                let mut items = B::Items::default();
                self.elements(depth, |reader| {
                    let item = reader.value::<B>(depth + 1)?;
                    B::push(&mut items, item);
                    Ok(())
                })?;
                Ok(B::array(items))
            }
            Some(b'-' | b'0'..=b'9') => {
                let number = self.number()?;
                B::number(number).map_or_else(|| self.fault(JsonFault::NumberOutOfRange), Ok)
            }
            Some(b't') => self.literal("true").map(|()| B::boolean(true)),
            Some(b'f') => self.literal("false").map(|()| B::boolean(false)),
            Some(b'n') => self.literal("null").map(|()| B::Node::default()),
            _ => self.fault(JsonFault::Expected("a value")),
        }
    }

    /// Reads the object that comes next.
    pub(crate) fn object<B: Build>(&mut self, depth: usize) -> Reading<B::Fields> {
        let mut fields = B::Fields::default();
        self.members(depth, |reader, key| {
            let node = reader.value::<B>(depth + 1)?;
            B::insert(&mut fields, key, node);
            Ok(())
        })?;
        Ok(fields)
    }

    /// Reads the object that comes next, handing each key to `member`, which reads the value.
    pub(crate) fn members(
        &mut self,
        depth: usize,
        mut member: impl FnMut(&mut Self, &str) -> Reading<()>,
    ) -> Reading<()> {
        self.open(depth, b'{', "an object")?;
        let first = self.keys.len();
        if self.eat(b'}') {
            return Ok(());
        }
        let (mut marks, mut many) = (0_u64, None);
        loop {
            if self.peek() != Some(b'"') {
                return self.fault(JsonFault::Expected("a key in quotes"));
            }
            let key = self.string()?.decoded();
            if self.is_repeated(first, &key, &mut marks, &mut many) {
                return self
                    .fault(JsonFault::DuplicateKey)
                    .map_err(|error: Box<JsonError>| error.under(&key));
            }
            if !self.eat(b':') {
                return self.fault(JsonFault::Expected("a colon"));
            }
            self.keys.push(key.clone());
            member(self, &key).map_err(|error| error.under(&key))?;
            if self.eat(b'}') {
                self.keys.truncate(first);
                return Ok(());
            }
            if !self.eat(b',') {
                return self.fault(JsonFault::Expected("a comma or the end of the object"));
            }
        }
    }

    /// Reads the list that comes next; `element` reads each value.
    pub(crate) fn elements(&mut self, depth: usize, mut element: impl FnMut(&mut Self) -> Reading<()>) -> Reading<()> {
        self.open(depth, b'[', "a list")?;
        if self.eat(b']') {
            return Ok(());
        }
        for index in 0_usize.. {
            element(self).map_err(|error| error.under(&format!("[{index}]")))?;
            if self.eat(b']') {
                break;
            }
            if !self.eat(b',') {
                return self.fault(JsonFault::Expected("a comma or the end of the list"));
            }
        }
        Ok(())
    }

    /// Forgets the keys of objects that an error left open.
    pub(crate) fn forget_keys(&mut self, kept: usize) {
        self.keys.truncate(kept);
    }

    /// How many keys of open objects are remembered.
    pub(crate) fn keys_held(&self) -> usize {
        self.keys.len()
    }

    #[inline]
    fn open(&mut self, depth: usize, bracket: u8, what: &'static str) -> Reading<()> {
        if depth >= JSON_DEPTH_MAX {
            return self.fault(JsonFault::TooDeep);
        }
        if self.eat(bracket) {
            Ok(())
        } else {
            self.fault(JsonFault::Expected(what))
        }
    }

    /// Whether the open object, whose keys start at `first`, has that key already. One bit of `marks` a key spares
    /// most comparisons; `many` takes over where there are many keys.
    fn is_repeated(&self, first: usize, key: &str, marks: &mut u64, many: &mut Option<HashSet<Cow<'a, str>>>) -> bool {
        let known = &self.keys[first..];
        if let Some(many) = many {
            // The key before this one was pushed after the last look-up.
            many.extend(known.last().cloned());
            return many.contains(key);
        }
        if known.len() >= KEYS_COMPARED_MAX {
            let set = many.insert(known.iter().cloned().collect());
            return set.contains(key);
        }
        let bytes = key.as_bytes();
        let edge = |byte: Option<&u8>| usize::from(byte.copied().unwrap_or(0));
        let mark = 1_u64 << ((key.len() * 5 + edge(bytes.first()) * 3 + edge(bytes.last()) * 11) % 64);
        let marked = *marks & mark != 0;
        *marks |= mark;
        marked && known.iter().any(|other| other == key)
    }

    /// Reads the string that comes next and checks its escapes.
    pub(crate) fn string(&mut self) -> Reading<Text<'a>> {
        let bytes = self.text.as_bytes();
        let from = self.at + 1;
        let mut escaped = false;
        self.at = from;
        loop {
            self.at = find_json_special(bytes, self.at);
            match bytes.get(self.at) {
                Some(b'"') => {
                    let raw = &self.text[from..self.at];
                    self.at += 1;
                    return Ok(Text { raw, escaped });
                }
                Some(b'\\') => {
                    escaped = true;
                    self.escape(bytes)?;
                }
                Some(_) => return self.fault(JsonFault::Expected("an escape in place of a control character")),
                None => return self.fault(JsonFault::Expected("the closing quote of a string")),
            }
        }
    }

    fn escape(&mut self, bytes: &[u8]) -> Reading<()> {
        let at = self.at;
        match bytes.get(at + 1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => self.at += 2,
            Some(b'u') => match hex4(bytes, at + 2) {
                Some(0xD800..0xDC00) => {
                    let escaped_next = bytes.get(at + 6..at + 8) == Some(b"\\u");
                    if !escaped_next || !matches!(hex4(bytes, at + 8), Some(0xDC00..0xE000)) {
                        return self.fault(JsonFault::LoneSurrogate);
                    }
                    self.at += 12;
                }
                Some(0xDC00..0xE000) => return self.fault(JsonFault::LoneSurrogate),
                Some(_) => self.at += 6,
                None => return self.fault(JsonFault::Expected("four hexadecimal digits after \\u")),
            },
            _ => return self.fault(JsonFault::Expected("one of \" \\ / b f n r t u after a backslash")),
        }
        Ok(())
    }

    /// Reads the number that comes next and checks its grammar, not its size.
    pub(crate) fn number(&mut self) -> Reading<Number<'a>> {
        let from = self.at;
        self.at += usize::from(self.text.as_bytes().get(from) == Some(&b'-'));
        if self.text.as_bytes().get(self.at) == Some(&b'0') {
            self.at += 1;
        } else {
            self.digits()?;
        }
        if self.text.as_bytes().get(self.at) == Some(&b'.') {
            self.at += 1;
            self.digits()?;
        }
        let has_exponent = matches!(self.text.as_bytes().get(self.at), Some(b'e' | b'E'));
        if has_exponent {
            self.at += 1;
            self.at += usize::from(matches!(self.text.as_bytes().get(self.at), Some(b'+' | b'-')));
            self.digits()?;
        }
        Ok(Number {
            token: &self.text[from..self.at],
            has_exponent,
        })
    }

    fn digits(&mut self) -> Reading<()> {
        let rest = self.text.as_bytes().get(self.at..).unwrap_or(&[]);
        let count = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        self.at += count;
        if count == 0 {
            self.fault(JsonFault::Expected("a digit"))
        } else {
            Ok(())
        }
    }

    /// Passes `true`, `false` or `null`.
    pub(crate) fn literal(&mut self, word: &'static str) -> Reading<()> {
        if self
            .text
            .as_bytes()
            .get(self.at..)
            .is_some_and(|rest| rest.starts_with(word.as_bytes()))
        {
            self.at += word.len();
            return Ok(());
        }
        self.fault(JsonFault::Expected("a value"))
    }

    /// Passes the value that comes next by its quotes and brackets alone, so that a value with a fault inside still
    /// has an end. Where the value is sound, the end is the one that [`Reader::value`] finds.
    pub(crate) fn skip_by_brackets(&mut self) -> Reading<()> {
        let bytes = self.text.as_bytes();
        let mut open = 0_usize;
        self.peek();
        while let Some(byte) = bytes.get(self.at) {
            match byte {
                b'"' => {
                    self.at = find_closing_quote(bytes, self.at + 1);
                    if self.at == bytes.len() {
                        return self.fault(JsonFault::Expected("the closing quote of a string"));
                    }
                }
                b'{' | b'[' => open += 1,
                b'}' | b']' if open == 0 => return Ok(()),
                b'}' | b']' => open -= 1,
                b',' if open == 0 => return Ok(()),
                _ if open == 0 => {
                    self.at += 1;
                    continue;
                }
                _ => {}
            }
            self.at += 1;
            if open == 0 {
                return Ok(());
            }
        }
        if open == 0 {
            Ok(())
        } else {
            self.fault(JsonFault::Expected("the end of an object or a list"))
        }
    }
}

pub(super) fn hex4(bytes: &[u8], at: usize) -> Option<u32> {
    let digits = bytes.get(at..at + 4)?;
    digits
        .iter()
        .try_fold(0, |code, digit| Some(code * 16 + char::from(*digit).to_digit(16)?))
}

/// The place of the quote that closes a string, or the end.
fn find_closing_quote(bytes: &[u8], from: usize) -> usize {
    let mut at = from;
    loop {
        at = find_json_special(bytes, at).min(bytes.len());
        match bytes.get(at) {
            Some(b'\\') => at += 2,
            Some(b'"') | None => return at,
            Some(_) => at += 1,
        }
    }
}
